//! Ids of the fixture's base rows that tests and the demo name.

/// Partner with `0812-3456-7890`; +6281234567890 in E.164.
pub const PARTNER_BUDI: i32 = 10;
/// Partner with `+62 812-1111-2222`; its entry of `phone_blacklist` is inactive.
pub const PARTNER_ANI: i32 = 11;
/// Partner with `628123334444`, no plus.
pub const PARTNER_CANDRA: i32 = 12;
/// Partner with `+62628125556666`: the number that the host's sync spoilt.
pub const PARTNER_DOUBLE_PREFIX: i32 = 13;
/// Partner with a British number.
pub const PARTNER_FOREIGN: i32 = 14;
/// Partner with a number in `whatsapp_number` only.
pub const PARTNER_WHATSAPP_ONLY: i32 = 15;
/// Partner without any number.
pub const PARTNER_NO_NUMBER: i32 = 16;
/// Archived partner.
pub const PARTNER_ARCHIVED: i32 = 17;
/// A company, with a landline.
pub const PARTNER_COMPANY: i32 = 18;
/// Contact of that company.
pub const PARTNER_CHILD: i32 = 19;
/// Two partners with one number, in two notations.
pub const PARTNERS_SHARING: [i32; 2] = [20, 21];
/// Partner whose number is a sentence; `phone_sanitized` is NULL.
pub const PARTNER_UNPARSABLE: i32 = 22;
/// Partner with quotes, braces and a backslash in the name.
pub const PARTNER_QUOTES: i32 = 23;
/// Partner who allowed messages (`whatsapp_opt_in`).
pub const PARTNER_OPTED_IN: i32 = 25;
/// Partner on the replaced module's blacklist, there in local notation.
pub const PARTNER_OLD_BLACKLIST: i32 = 26;
/// Partner on Odoo's `phone_blacklist`, active.
pub const PARTNER_BLACKLISTED: i32 = 27;

/// `__system__`, inactive.
pub const USER_ROOT: i32 = 1;
/// `admin`.
pub const USER_ADMIN: i32 = 2;
/// Portal user: shared, never staff.
pub const USER_PORTAL: i32 = 5;
/// Members of "DPMPTSP Staff".
pub const USERS_STAFF: [i32; 2] = [6, 7];
/// Member of "Pejabat", and so, by implication, of "DPMPTSP Staff".
pub const USER_OFFICIAL: i32 = 8;
/// `base.group_user`.
pub const GROUP_USER: i32 = 1;
/// "DPMPTSP Staff", without external id.
pub const GROUP_STAFF: i32 = 10;
/// "Pejabat", which implies "DPMPTSP Staff".
pub const GROUP_OFFICIAL: i32 = 11;

/// Active, of Budi, expires in 30 days.
pub const PERMIT_ACTIVE: i32 = 1;
/// Draft, of a partner with a `whatsapp_number` only, without permit number.
pub const PERMIT_DRAFT: i32 = 6;
/// Active, without partner.
pub const PERMIT_NO_PARTNER: i32 = 10;
/// Active; the applicant is not the partner.
pub const PERMIT_WRONG_PERSON: i32 = 11;
/// Active although its date has passed.
pub const PERMIT_STALE: i32 = 12;
/// Number of base permits; ids run from 1.
pub const PERMITS: i64 = 20;
/// Draft document of [`PERMIT_ACTIVE`].
pub const DOCUMENT_DRAFT: i32 = 1;
/// Document that waits for its signature.
pub const DOCUMENT_PENDING: i32 = 3;
