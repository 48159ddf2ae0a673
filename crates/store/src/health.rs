//! Whether writes work.

/// What the last COMMIT showed. Reads work in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Writable,
    /// Until space is freed or the disk works again; the store keeps trying by itself.
    NotWritable {
        reason: String,
    },
}

impl Health {
    pub fn is_writable(&self) -> bool {
        *self == Self::Writable
    }
}
