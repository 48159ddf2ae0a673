//! The text of a token: `dm_<scope>_<43 base64url characters>`, 32 random bytes.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::Scope;
use sha2::{Digest, Sha256};
use std::fmt;

const BYTES: usize = 32;

/// A token's secret. Exists in the answer that made it and in its owner's hands; here only its SHA-256 stays. A plain
/// hash is enough, because nobody can guess 256 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    scope: Scope,
    bytes: [u8; BYTES],
}

impl Secret {
    pub fn generate(scope: Scope) -> Self {
        Self { scope, bytes: rand::random() }
    }

    /// What the client sends.
    pub fn expose(&self) -> String {
        format!("dm_{}_{}", self.scope, BASE64_URL_SAFE_NO_PAD.encode(self.bytes))
    }

    pub fn sha256(&self) -> [u8; 32] {
        digest(&self.expose())
    }

    /// For keeping with an idempotency key: readable only with the bearer token that made the first request, which is
    /// stored nowhere. `nonce` is the new token's id, so no two secrets are ever sealed alike.
    pub fn seal(&self, bearer_seal: &Seal, nonce: &str) -> String {
        hex::encode(bearer_seal.apply(self.bytes, nonce))
    }

    pub fn unseal(scope: Scope, sealed: &str, bearer_seal: &Seal, nonce: &str) -> Option<Self> {
        let mut bytes = [0; BYTES];
        hex::decode_to_slice(sealed, &mut bytes).ok()?;
        Some(Self { scope, bytes: bearer_seal.apply(bytes, nonce) })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dm_{}_…", self.scope)
    }
}

/// SHA-256 of a presented token.
pub fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A key derived from a presented bearer token. Not the stored digest: whoever reads the database has that one.
#[derive(Clone)]
pub struct Seal([u8; 32]);

impl Seal {
    pub fn of(presented: &str) -> Self {
        Self(Sha256::new().chain_update(b"devmesh seal\0").chain_update(presented).finalize().into())
    }

    /// A one-time pad of SHA-256(key, nonce).
    fn apply(&self, mut bytes: [u8; BYTES], nonce: &str) -> [u8; BYTES] {
        let pad = Sha256::new().chain_update(self.0).chain_update(nonce).finalize();
        for (byte, pad) in bytes.iter_mut().zip(pad) {
            *byte ^= pad;
        }
        bytes
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_names_its_scope_and_has_43_random_characters() {
        let secret = Secret::generate(Scope::Agent);
        let text = secret.expose();
        let random = text.strip_prefix("dm_agent_").unwrap();
        assert_eq!(random.len(), 43);
        assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert_ne!(Secret::generate(Scope::Agent), secret);
        assert!(!format!("{secret:?}").contains(random));
    }

    #[test]
    fn a_sealed_secret_opens_only_for_the_same_bearer() {
        let secret = Secret::generate(Scope::User);
        let bearer = Seal::of("dm_admin_a");
        let sealed = secret.seal(&bearer, "1");
        assert!(!sealed.contains(&hex::encode(secret.bytes)));
        assert_eq!(Secret::unseal(Scope::User, &sealed, &bearer, "1"), Some(secret.clone()));
        assert_ne!(Secret::unseal(Scope::User, &sealed, &Seal::of("dm_admin_b"), "1"), Some(secret.clone()));
        assert_ne!(Secret::unseal(Scope::User, &sealed, &bearer, "2"), Some(secret));
    }
}
