//! Who may ask, and who did what.

use crate::{Answer, AuditEntry, AuditFilter, AuditRow, IdempotencyRow, KeyPolicyRow, Page, TokenRow};
use domain::{EventHash, PrincipalId, Timestamp, TokenId};

/// Tokens, the policies of keys, remembered answers, the audit trail.
pub trait Access {
    /// Every token there is, oldest first; people make them one by one.
    fn tokens(&self) -> Answer<Vec<TokenRow>>;

    /// Stores a token with all that belongs to it, unless its request was answered before.
    fn create_token(&self, new: NewToken) -> Answer<TokenCreation>;

    /// Stores a token in place of others, on a full disk too.
    fn replace_tokens(&self, gone: Vec<TokenId>, token: TokenRow, audit: AuditRow) -> Answer<()>;

    /// Forgets a token and the policy of its principal, on a full disk too.
    fn delete_token(&self, token: TokenId, principal: PrincipalId, audit: AuditRow) -> Answer<()>;

    fn key_policy(&self, principal: PrincipalId) -> Answer<Option<KeyPolicyRow>>;

    /// Stores a key's policy in place of the one it had.
    fn put_key_policy(&self, policy: KeyPolicyRow, audit: AuditRow) -> Answer<()>;

    /// What a request with this key was answered.
    fn remembered_answer(&self, principal: PrincipalId, key: String) -> Answer<Option<IdempotencyRow>>;

    /// Forgets answers older than this and says how many.
    fn sweep_idempotency(&self, before: Timestamp) -> Answer<usize>;

    /// Adds what was done to the audit trail, where nothing else is written for it; on a full disk too.
    fn record_audit(&self, audit: AuditRow) -> Answer<()>;

    /// Newest first.
    fn page_of_audit(&self, filter: AuditFilter) -> Answer<Page<AuditEntry>>;

    /// The audit trail as it is chained, after this seq, oldest first.
    fn stretch_of_audit(&self, after: u64, limit: usize) -> Answer<AuditStretch>;

    /// Removes entries made before this time from the beginning of the audit trail, at most `limit`, and says how many. What
    /// is left stays verifiable.
    fn sweep_audit(&self, before: Timestamp, limit: usize) -> Answer<usize>;
}

/// A token about to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub token: TokenRow,
    /// Of its principal.
    pub policy: Option<KeyPolicyRow>,
    /// Under which key a repeat of this request finds its answer.
    pub once: Option<IdempotencyRow>,
    /// [`TokenCreation::Full`] when there are so many already.
    pub most_tokens: usize,
    pub audit: AuditRow,
}

/// What became of a [`NewToken`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenCreation {
    Created,
    /// There are as many as there may be. Nothing was written.
    Full,
    /// The same request was answered before, with this. Nothing was written.
    Repeated(String),
    /// Another request was made under the same key before. Nothing was written.
    Conflict,
}

/// A part of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditStretch {
    /// Seq and hash of the last entry that was removed; 0 and [`EventHash::START`] when none was.
    pub anchor: (u64, EventHash),
    /// One that cannot be read is not among them.
    pub entries: Vec<AuditEntry>,
    /// Of the last entry there ever was; 0 before the first.
    pub last_seq: u64,
}
