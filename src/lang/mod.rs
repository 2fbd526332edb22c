//! What users write. This is a security boundary: nothing typed reaches SQL except as a bound value.

pub mod domain;
pub mod python;
pub mod snippet;
