//! [`Access`] on SQLite.

use super::Sqlite;
use crate::{
    Answer, AuditEntry, AuditFilter, AuditRow, AuditStretch, IdempotencyRow, KeyPolicyRow, NewToken, Page,
    TokenCreation, TokenRow, operations::Access,
};
use domain::{PrincipalId, Timestamp, TokenId};

impl Access for Sqlite {
    fn tokens(&self) -> Answer<Vec<TokenRow>> {
        self.read(|reader| reader.tokens())
    }

    fn create_token(&self, new: NewToken) -> Answer<TokenCreation> {
        self.write(move |transaction| {
            if let Some(once) = &new.once
                && let Some(earlier) = transaction.idempotency(once.principal, &once.key)?
            {
                let is_same = earlier.request_sha256 == once.request_sha256;
                return Ok(if is_same { TokenCreation::Repeated(earlier.answer) } else { TokenCreation::Conflict });
            }
            if transaction.token_count()? >= new.most_tokens as u64 {
                return Ok(TokenCreation::Full);
            }
            if let Some(once) = &new.once {
                transaction.put_idempotency(once)?;
            }
            transaction.insert_token(&new.token)?;
            if let Some(policy) = &new.policy {
                transaction.put_key_policy(policy)?;
            }
            transaction.audit(&new.audit)?;
            Ok(TokenCreation::Created)
        })
    }

    fn replace_tokens(&self, gone: Vec<TokenId>, token: TokenRow, audit: AuditRow) -> Answer<()> {
        self.relieve(move |transaction| {
            for id in &gone {
                transaction.delete_token(*id)?;
            }
            transaction.insert_token(&token)?;
            transaction.audit(&audit)
        })
    }

    fn delete_token(&self, token: TokenId, principal: PrincipalId, audit: AuditRow) -> Answer<()> {
        self.relieve(move |transaction| {
            transaction.delete_token(token)?;
            transaction.delete_key_policy(principal)?;
            transaction.audit(&audit)
        })
    }

    fn key_policy(&self, principal: PrincipalId) -> Answer<Option<KeyPolicyRow>> {
        self.read(move |reader| reader.key_policy(principal))
    }

    fn put_key_policy(&self, policy: KeyPolicyRow, audit: AuditRow) -> Answer<()> {
        self.write(move |transaction| {
            transaction.put_key_policy(&policy)?;
            transaction.audit(&audit)
        })
    }

    fn remembered_answer(&self, principal: PrincipalId, key: String) -> Answer<Option<IdempotencyRow>> {
        self.read(move |reader| reader.idempotency(principal, &key))
    }

    fn sweep_idempotency(&self, before: Timestamp) -> Answer<usize> {
        self.write(move |transaction| transaction.delete_idempotency_before(before))
    }

    fn record_audit(&self, audit: AuditRow) -> Answer<()> {
        self.relieve(move |transaction| transaction.audit(&audit))
    }

    fn page_of_audit(&self, filter: AuditFilter) -> Answer<Page<AuditEntry>> {
        self.read(move |reader| reader.page_of_audit(&filter))
    }

    fn stretch_of_audit(&self, after: u64, limit: usize) -> Answer<AuditStretch> {
        self.read(move |reader| {
            let (anchor, entries) = (reader.audit_anchor()?, reader.audit_after(after, limit)?);
            Ok(AuditStretch { anchor, entries, last_seq: reader.audit_seq()? })
        })
    }

    fn sweep_audit(&self, before: Timestamp, limit: usize) -> Answer<usize> {
        self.write(move |transaction| transaction.sweep_audit(before, limit))
    }
}
