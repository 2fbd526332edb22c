//! Messages of `pgoutput`, protocol version 1, as the server sends them in text format. Promises: pure; any bytes give a
//! message or an error, never a panic, and no allocation is larger than the bytes that were given.

use std::borrow::Cow;

/// A position in the server's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lsn(pub u64);

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl std::str::FromStr for Lsn {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let parts = text.split_once('/').and_then(|(high, low)| {
            let part = |hex: &str| u32::from_str_radix(hex, 16).ok().map(u64::from);
            Some((part(high)?, part(low)?))
        });
        let (high, low) = parts.ok_or(DecodeError::Lsn)?;
        Ok(Self(high << 32 | low))
    }
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("the message ends in the middle of {0}")]
    Short(&'static str),
    /// They go on after the end.
    #[error("{0} bytes follow the message's end")]
    Long(usize),
    /// Of a kind that protocol version 1 does not have.
    #[error("a message of unknown kind {0:#04x}")]
    Kind(u8),
    /// A part that is none of those that may stand there.
    #[error("an unknown {what} {byte:#04x}")]
    Part {
        /// What was expected.
        what: &'static str,
        /// What stands there.
        byte: u8,
    },
    /// A number that must not be negative.
    #[error("a negative {0}")]
    Negative(&'static str),
    /// No log position.
    #[error("not a log position")]
    Lsn,
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// SQL NULL.
    Null,
    /// A long value that the statement did not touch: not sent.
    Unchanged,
    /// The type's text form. What is no UTF-8 (a database in SQL_ASCII) is replaced, since it cannot be stored.
    Text(Cow<'a, str>),
}

/// Values in the order of the relation's columns.
pub type Tuple<'a> = Vec<Cell<'a>>;

/// What is known of a row before the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Old<'a> {
    /// Only the columns of the replica identity; the others are null.
    Key(Tuple<'a>),
    /// All columns (REPLICA IDENTITY FULL).
    Full(Tuple<'a>),
}

/// A column, as the relation had it when the change was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Part of the replica identity.
    pub key: bool,
    /// Name.
    pub name: String,
    /// pg_type.oid.
    pub type_oid: u32,
    /// pg_attribute.atttypmod.
    pub type_modifier: i32,
}

/// A table, as it was when the change was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// pg_class.oid.
    pub oid: u32,
    /// Schema; empty for pg_catalog.
    pub schema: String,
    /// Name.
    pub name: String,
    /// pg_class.relreplident: `d`, `n`, `f`, `i`.
    pub identity: u8,
    /// Columns in order.
    pub columns: Vec<Column>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction begins: it has been committed.
    Begin {
        /// Where its commit stands.
        commit: Lsn,
        /// When it was committed, µs since 2000-01-01.
        at: i64,
        /// Its id, without epoch.
        xid: u32,
    },
    /// Its end.
    Commit {
        /// Where its commit stands.
        commit: Lsn,
        /// Where the commit ends: the position to confirm.
        end: Lsn,
        /// When, µs since 2000-01-01.
        at: i64,
    },
    /// The transaction came from elsewhere.
    Origin {
        /// Its commit there.
        commit: Lsn,
        /// Where.
        name: Cow<'a, str>,
    },
    /// The form of a table whose changes follow.
    Relation(Relation),
    /// A type that is none of the server's own.
    Type {
        /// pg_type.oid.
        oid: u32,
        /// Schema.
        schema: Cow<'a, str>,
        /// Name.
        name: Cow<'a, str>,
    },
    /// A row was made.
    Insert {
        /// Of which relation.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row was written.
    Update {
        /// Of which relation.
        relation: u32,
        /// Before, if the server says.
        old: Option<Old<'a>>,
        /// After.
        new: Tuple<'a>,
    },
    /// A row was removed.
    Delete {
        /// Of which relation.
        relation: u32,
        /// Before.
        old: Old<'a>,
    },
    /// Tables were emptied.
    Truncate {
        /// Which.
        relations: Vec<u32>,
        /// CASCADE was said.
        cascade: bool,
        /// RESTART IDENTITY was said.
        restart: bool,
    },
    /// pg_logical_emit_message().
    Message {
        /// Sent with its transaction.
        transactional: bool,
        /// Where it stands.
        at: Lsn,
        /// Whose.
        prefix: Cow<'a, str>,
        /// What.
        content: &'a [u8],
    },
}

/// Reads one message.
///
/// # Errors
/// [`DecodeError`].
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let mut rest = Rest { bytes };
    let message = match rest.u8("its kind")? {
        b'B' => Message::Begin {
            commit: Lsn(rest.u64("a position")?),
            at: rest.i64("a time")?,
            xid: rest.u32("a transaction id")?,
        },
        b'C' => {
            rest.u8("flags")?;
            Message::Commit {
                commit: Lsn(rest.u64("a position")?),
                end: Lsn(rest.u64("a position")?),
                at: rest.i64("a time")?,
            }
        }
        b'O' => Message::Origin {
            commit: Lsn(rest.u64("a position")?),
            name: rest.text("a name")?,
        },
        b'R' => Message::Relation(relation(&mut rest)?),
        b'Y' => Message::Type {
            oid: rest.u32("an oid")?,
            schema: rest.text("a name")?,
            name: rest.text("a name")?,
        },
        b'I' => {
            let relation = rest.u32("an oid")?;
            rest.expect(b'N', "row of an insert")?;
            Message::Insert {
                relation,
                new: tuple(&mut rest)?,
            }
        }
        b'U' => update(&mut rest)?,
        b'D' => {
            let relation = rest.u32("an oid")?;
            let kind = rest.u8("the kind of row")?;
            Message::Delete {
                relation,
                old: old(kind, &mut rest)?,
            }
        }
        b'T' => truncate(&mut rest)?,
        b'M' => message(&mut rest)?,
        other => return Err(DecodeError::Kind(other)),
    };
    match rest.bytes.len() {
        0 => Ok(message),
        more => Err(DecodeError::Long(more)),
    }
}

fn relation(rest: &mut Rest<'_>) -> Result<Relation, DecodeError> {
    let oid = rest.u32("an oid")?;
    let schema = rest.text("a name")?.into_owned();
    let name = rest.text("a name")?.into_owned();
    let identity = rest.u8("the replica identity")?;
    let count = rest.count("number of columns")?;
    // A column takes ten bytes at least.
    let mut columns = Vec::with_capacity(count.min(rest.bytes.len() / 10));
    for _ in 0..count {
        columns.push(Column {
            key: rest.u8("flags")? & 1 == 1,
            name: rest.text("a name")?.into_owned(),
            type_oid: rest.u32("an oid")?,
            type_modifier: rest.i32("a type modifier")?,
        });
    }
    Ok(Relation {
        oid,
        schema,
        name,
        identity,
        columns,
    })
}

fn update<'a>(rest: &mut Rest<'a>) -> Result<Message<'a>, DecodeError> {
    let relation = rest.u32("an oid")?;
    let kind = rest.u8("the kind of row")?;
    let old = if kind == b'N' {
        None
    } else {
        let old = old(kind, rest)?;
        rest.expect(b'N', "row of an update")?;
        Some(old)
    };
    Ok(Message::Update {
        relation,
        old,
        new: tuple(rest)?,
    })
}

fn old<'a>(kind: u8, rest: &mut Rest<'a>) -> Result<Old<'a>, DecodeError> {
    match kind {
        b'K' => Ok(Old::Key(tuple(rest)?)),
        b'O' => Ok(Old::Full(tuple(rest)?)),
        byte => Err(DecodeError::Part {
            what: "kind of row",
            byte,
        }),
    }
}

fn tuple<'a>(rest: &mut Rest<'a>) -> Result<Tuple<'a>, DecodeError> {
    let count = rest.count("number of values")?;
    let mut cells = Vec::with_capacity(count.min(rest.bytes.len()));
    for _ in 0..count {
        cells.push(match rest.u8("the kind of a value")? {
            b'n' => Cell::Null,
            b'u' => Cell::Unchanged,
            b't' => {
                let length = rest.length("length of a value")?;
                Cell::Text(String::from_utf8_lossy(rest.take(length, "a value")?))
            }
            byte => {
                return Err(DecodeError::Part {
                    what: "kind of value",
                    byte,
                });
            }
        });
    }
    Ok(cells)
}

fn truncate<'a>(rest: &mut Rest<'a>) -> Result<Message<'a>, DecodeError> {
    let count = rest.length("number of relations")?;
    let flags = rest.u8("flags")?;
    let mut relations = Vec::with_capacity(count.min(rest.bytes.len() / 4));
    for _ in 0..count {
        relations.push(rest.u32("an oid")?);
    }
    Ok(Message::Truncate {
        relations,
        cascade: flags & 1 == 1,
        restart: flags & 2 == 2,
    })
}

fn message<'a>(rest: &mut Rest<'a>) -> Result<Message<'a>, DecodeError> {
    let transactional = rest.u8("flags")? & 1 == 1;
    let at = Lsn(rest.u64("a position")?);
    let prefix = rest.text("a prefix")?;
    let length = rest.length("length of a content")?;
    Ok(Message::Message {
        transactional,
        at,
        prefix,
        content: rest.take(length, "a content")?,
    })
}

/// Bytes that have not been read yet.
struct Rest<'a> {
    bytes: &'a [u8],
}

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or(DecodeError::Short(what))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self
            .bytes
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Short(what))?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array(what)?))
    }

    fn count(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        usize::try_from(i16::from_be_bytes(self.array(what)?)).map_err(|_| DecodeError::Negative(what))
    }

    fn length(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        usize::try_from(self.i32(what)?).map_err(|_| DecodeError::Negative(what))
    }

    fn expect(&mut self, wanted: u8, what: &'static str) -> Result<(), DecodeError> {
        match self.u8(what)? {
            byte if byte == wanted => Ok(()),
            byte => Err(DecodeError::Part { what, byte }),
        }
    }

    /// Up to the byte 0, which is read too.
    fn text(&mut self, what: &'static str) -> Result<Cow<'a, str>, DecodeError> {
        let length = self
            .bytes
            .iter()
            .position(|b| *b == 0)
            .ok_or(DecodeError::Short(what))?;
        let text = String::from_utf8_lossy(self.take(length, what)?);
        self.take(1, what)?;
        Ok(text)
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
