//! The tokens this server knows, in memory; the store holds them over restarts.

use super::secret::{Seal, Secret, digest};
use crate::{
    app::Rates,
    problem::{Failure, Result},
    rate::Limiter,
};
use domain::{Clock, ErrorCode, PrincipalId, RequestId, Scope, Timestamp, TokenId};
use jobs::Caller;
use protocol::{CreateToken, CreatedToken, KeyPolicy, Token};
use router::accounts::Accounts;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    io::{self, Write},
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};
use store::{AuditRow, IdempotencyRow, KeyPolicyRow, NewToken, Page, Store, TokenCreation, TokenRow};
use tokio_util::sync::CancellationToken;

/// Tokens at once. People and programs of one private mesh; each costs memory for its rate limit.
const TOKENS: usize = 1_000;
/// The file in a data folder with the token its owner got.
pub const ADMIN_TOKEN_FILE: &str = "admin-token";
/// What that token is called.
pub(super) const FIRST_ADMIN: &str = "first admin";
/// When a token expires that does not.
const NEVER: i64 = i64::MAX;
/// Characters of a token's name.
const NAME_CHARACTERS: usize = 64;

/// One token as requests see it.
#[derive(Debug)]
pub struct Entry {
    pub id: TokenId,
    pub principal: PrincipalId,
    pub scope: Scope,
    pub limiter: Limiter,
    /// Fires when the token is deleted or expires: open streams end.
    pub revoked: CancellationToken,
    /// In milliseconds; [`NEVER`] where the policy names no time.
    expires_at: AtomicI64,
    row: TokenRow,
}

impl Entry {
    fn new(row: TokenRow, rates: Rates, expires_at: Option<Timestamp>) -> Self {
        let rate = if row.scope == Scope::Agent { rates.agent } else { rates.token };
        let (limiter, revoked) = (rate.limiter(), CancellationToken::new());
        let entry = Self {
            id: row.id,
            principal: row.principal,
            scope: row.scope,
            limiter,
            revoked,
            expires_at: AtomicI64::new(NEVER),
            row,
        };
        entry.expire_at(expires_at);
        entry
    }

    fn expire_at(&self, at: Option<Timestamp>) {
        self.expires_at.store(at.map_or(NEVER, Timestamp::as_millis), Ordering::Relaxed);
    }

    fn expires_at(&self) -> Option<Timestamp> {
        let at = self.expires_at.load(Ordering::Relaxed);
        (at != NEVER).then(|| Timestamp::from_millis(at))
    }

    /// Since when it opens nothing any more.
    pub fn expired_at(&self, clock: &dyn Clock) -> Option<Timestamp> {
        self.expires_at().filter(|at| self.revoked.is_cancelled() || clock.now() >= *at)
    }

    fn describe(&self) -> Token {
        describe(&self.row, self.expires_at())
    }

    #[cfg(test)]
    pub fn for_tests(scope: Scope) -> Self {
        let now = Timestamp::from_millis(0);
        let row = new_row("test".into(), PrincipalId::new(now), &Secret::generate(scope), scope, now);
        Self::new(row, Rates::default(), None)
    }
}

type Known = HashMap<[u8; 32], Arc<Entry>>;

pub struct Tokens {
    store: Store,
    clock: Arc<dyn Clock>,
    rates: Rates,
    known: RwLock<Known>,
    /// Changes happen one at a time, so that memory and store agree on their order and on the last admin token.
    changing: tokio::sync::Mutex<()>,
}

impl Tokens {
    pub async fn load(
        store: Store,
        clock: Arc<dyn Clock>,
        rates: Rates,
        accounts: &Accounts,
    ) -> Result<Self, store::Error> {
        let expires_at = |row: &TokenRow| accounts.account(row.principal).and_then(|account| account.policy.expires_at);
        let entry = |row| {
            let expires_at = expires_at(&row);
            (row.secret_sha256, Arc::new(Entry::new(row, rates, expires_at)))
        };
        let rows = store.tokens().await?;
        rows.iter().for_each(|row| accounts.name_key(row.principal, &name(row)));
        let known = rows.into_iter().map(entry).collect();
        Ok(Self { store, clock, rates, known: RwLock::new(known), changing: tokio::sync::Mutex::default() })
    }

    pub fn find(&self, secret: &str) -> Option<Arc<Entry>> {
        self.known(|known| known.get(&digest(secret)).cloned())
    }

    /// Whose token that is.
    pub fn principal_of(&self, id: TokenId) -> Option<PrincipalId> {
        self.known(|known| known.values().find(|entry| entry.id == id).map(|entry| entry.principal))
    }

    /// The tokens after this one, oldest first.
    pub fn page(&self, after: Option<TokenId>, limit: usize) -> Page<Token> {
        let is_later = |entry: &&Arc<Entry>| after.is_none_or(|after| entry.id > after);
        let mut rows: Vec<_> =
            self.known(|known| known.values().filter(is_later).map(|entry| entry.describe()).collect());
        rows.sort_by_key(|token| token.id);
        let more = rows.len() > limit;
        rows.truncate(limit);
        Page { rows, more }
    }

    /// Makes a token for a new principal; its policy, which the caller has checked, holds before it opens anything. With an
    /// idempotency key, a repeat by the same bearer gets the same answer, secret included.
    pub async fn create(
        &self,
        caller: &Caller,
        request: CreateToken,
        accounts: &Accounts,
        key: Option<String>,
        seal: Seal,
    ) -> Result<CreatedToken> {
        let length = request.name.chars().count();
        if length == 0 || length > NAME_CHARACTERS || request.name.chars().any(char::is_control) {
            return Err(Failure::field(
                "/name",
                format!("A name has 1 to {NAME_CHARACTERS} printable characters; got {length}."),
            ));
        }
        let changing = self.changing.lock().await;
        let now = self.clock.now();
        let (principal, request_sha256) = (caller.principal, hash_request(&request));
        let secret = Secret::generate(request.scope);
        let row = new_row(request.name, PrincipalId::new(now), &secret, request.scope, now);
        let answer = json!({"token": row.id, "scope": row.scope, "sealed": secret.seal(&seal, &row.id.to_string())});
        let answer = answer.to_string();
        let once =
            |key: &String| IdempotencyRow { principal, key: key.clone(), request_sha256, answer, created_at: now };
        let new = NewToken {
            policy: request.policy.as_ref().map(|policy| policy_row(row.principal, policy, now)).transpose()?,
            once: key.as_ref().map(once),
            most_tokens: TOKENS,
            audit: audit(caller, now, "token.create", &row),
            token: row.clone(),
        };
        match self.store.create_token(new).await? {
            TokenCreation::Created => {}
            TokenCreation::Full => {
                return Err(Failure::new(
                    ErrorCode::WrongState,
                    format!("There are {TOKENS} tokens, which is the limit. Delete one first."),
                ));
            }
            TokenCreation::Repeated(answer) => return self.repeat(&answer, &seal),
            TokenCreation::Conflict => {
                let key = key.unwrap_or_default();
                let detail = format!("The idempotency key `{key}` was used for another request. Use a fresh one.");
                return Err(Failure::new(ErrorCode::IdempotencyConflict, detail));
            }
        }
        let expires_at = request.policy.as_ref().and_then(|policy| policy.expires_at);
        let token = describe(&row, expires_at);
        accounts.name_key(row.principal, &name(&row));
        if let Some(policy) = request.policy {
            accounts.set_policy(row.principal, policy);
        }
        self.add(row, expires_at);
        drop(changing);
        Ok(CreatedToken { token, secret: secret.expose() })
    }

    fn repeat(&self, answer: &str, seal: &Seal) -> Result<CreatedToken> {
        #[derive(serde::Deserialize)]
        struct Answer {
            token: TokenId,
            scope: Scope,
            sealed: String,
        }
        let Answer { token, scope, sealed } = serde_json::from_str(answer).map_err(Failure::internal)?;
        let entry = self.entry(token).map_err(|_| {
            let detail = format!(
                "This request made token {token} before, which was deleted since. Use a fresh key to make another one."
            );
            Failure::new(ErrorCode::Gone, detail)
        })?;
        let secret = Secret::unseal(scope, &sealed, seal, &token.to_string()).ok_or_else(|| {
            let detail = format!(
                "This request made token {token} before, and its secret is shown again only to the token that asked then. \
                 Delete token {token} and ask with a fresh key."
            );
            Failure::new(ErrorCode::WrongState, detail)
        })?;
        Ok(CreatedToken { token: entry.describe(), secret: secret.expose() })
    }

    /// Deletes a token; what it has open ends. The last admin token that does not expire stays, or nobody could ever get in
    /// again.
    pub async fn delete(&self, caller: &Caller, id: TokenId) -> Result<()> {
        let changing = self.changing.lock().await;
        let entry = self.entry(id)?;
        self.may_end(&entry)?;
        let audit = audit(caller, self.clock.now(), "token.delete", &entry.row);
        self.store.delete_token(id, entry.principal, audit).await?;
        self.remove(&entry);
        drop(changing);
        Ok(())
    }

    /// Replaces what a token may do with models; the caller has checked the policy. It says whose token that is.
    pub async fn put_policy(
        &self,
        caller: &Caller,
        id: TokenId,
        policy: KeyPolicy,
        accounts: &Accounts,
    ) -> Result<PrincipalId> {
        // A token that is being deleted takes its policy with it.
        let changing = self.changing.lock().await;
        let entry = self.entry(id)?;
        if policy.expires_at.is_some() {
            self.may_end(&entry)?;
        }
        let (principal, now) = (entry.principal, self.clock.now());
        let audit = AuditRow {
            at: now,
            principal: caller.principal,
            action: "key_policy.put".into(),
            object: format!("token:{id}"),
            request_id: caller.request,
        };
        self.store.put_key_policy(policy_row(principal, &policy, now)?, audit).await?;
        if entry.revoked.is_cancelled() {
            self.add(entry.row.clone(), policy.expires_at);
        } else {
            entry.expire_at(policy.expires_at);
        }
        accounts.set_policy(principal, policy);
        drop(changing);
        Ok(principal)
    }

    /// Ends what expired tokens have open. The token itself stays: its policy may be changed so that it opens something again.
    pub fn end_expired(&self) {
        self.known(|known| {
            let expired = known.values().filter(|entry| entry.expired_at(&*self.clock).is_some());
            expired.for_each(|entry| entry.revoked.cancel());
        });
    }

    /// A token for an agent process the program starts itself. It replaces the one made before under the same name and
    /// keeps that one's principal, so the agent still owns what it leased.
    pub async fn mint_agent(&self, name: &str) -> Result<Secret, store::Error> {
        let changing = self.changing.lock().await;
        let now = self.clock.now();
        let earlier: Vec<_> = self.known(|known| {
            known.values().filter(|entry| entry.scope == Scope::Agent && entry.row.name == name).cloned().collect()
        });
        let principal = earlier.first().map_or_else(|| PrincipalId::new(now), |entry| entry.principal);
        let secret = Secret::generate(Scope::Agent);
        let row = new_row(name.into(), principal, &secret, Scope::Agent, now);
        let by_the_program = Caller { principal, scope: Scope::Admin, request: RequestId::new(now) };
        let audit = audit(&by_the_program, now, "token.create", &row);
        let gone = earlier.iter().map(|entry| entry.id).collect();
        self.store.replace_tokens(gone, row.clone(), audit).await?;
        for entry in &earlier {
            self.remove(entry);
        }
        self.add(row, None);
        drop(changing);
        Ok(secret)
    }

    fn entry(&self, id: TokenId) -> Result<Arc<Entry>> {
        self.known(|known| known.values().find(|entry| entry.id == id).cloned())
            .ok_or_else(|| Failure::not_found(format!("token `{id}`")))
    }

    fn may_end(&self, entry: &Entry) -> Result<()> {
        let lasts = |entry: &Entry| entry.scope == Scope::Admin && entry.expires_at().is_none();
        let another = self.known(|known| known.values().any(|other| other.id != entry.id && lasts(other)));
        if another || !lasts(entry) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::WrongState,
            "This is the last admin token that does not expire: without it nobody could get in. Create another one first.",
        ))
    }

    fn known<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, row: TokenRow, expires_at: Option<Timestamp>) {
        let entry = Arc::new(Entry::new(row, self.rates, expires_at));
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(entry.row.secret_sha256, entry);
    }

    fn remove(&self, entry: &Entry) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&entry.row.secret_sha256);
        entry.revoked.cancel();
    }
}

/// What a refusal calls a token: with the id that `devmesh token policy` takes.
fn name(row: &TokenRow) -> String {
    format!("token `{}` ({})", row.name, row.id)
}

/// Makes the first admin token when the store holds none, and writes it to `file`, readable by its owner alone.
///
/// `Some` only when it was made now: the program shows it once. Call it before [`crate::App::start`], which loads the
/// tokens. The file is on disk before the store knows the token: a crash between the two leaves a useless file, never a
/// server nobody can enter.
pub async fn ensure_admin_token(
    store: &Store,
    clock: &dyn Clock,
    file: &Path,
) -> Result<Option<Secret>, AdminTokenError> {
    let rows = store.tokens().await?;
    if rows.iter().any(|row| row.scope == Scope::Admin) {
        return Ok(None);
    }
    let now = clock.now();
    let secret = Secret::generate(Scope::Admin);
    let (path, text) = (file.to_owned(), secret.expose());
    let written = tokio::task::spawn_blocking(move || write_private(&path, &text)).await.map_err(io::Error::other);
    written.flatten().map_err(|cause| AdminTokenError::File { file: file.display().to_string(), cause })?;
    let row = new_row(FIRST_ADMIN.into(), PrincipalId::new(now), &secret, Scope::Admin, now);
    let by_the_program = Caller { principal: row.principal, scope: Scope::Admin, request: RequestId::new(now) };
    let audit = audit(&by_the_program, now, "token.create", &row);
    store.replace_tokens(Vec::new(), row, audit).await?;
    Ok(Some(secret))
}

#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    #[error(
        "the first admin token cannot be written to {file}: {cause}. Make the folder writable for this user and start again"
    )]
    File { file: String, cause: io::Error },
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Written beside and renamed over, so that the file never holds half a token or has, even briefly, open permissions.
pub(super) fn write_private(file: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let beside = file.with_extension("new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    writeln!(new, "{text}")?;
    new.sync_all()?;
    std::fs::rename(&beside, file)?;
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

pub(super) fn new_row(name: String, principal: PrincipalId, secret: &Secret, scope: Scope, now: Timestamp) -> TokenRow {
    TokenRow { id: TokenId::new(now), principal, name, scope, secret_sha256: secret.sha256(), created_at: now }
}

fn policy_row(principal: PrincipalId, policy: &KeyPolicy, now: Timestamp) -> Result<KeyPolicyRow> {
    let policy = serde_json::to_string(policy).map_err(Failure::internal)?;
    Ok(KeyPolicyRow { principal, policy, updated_at: now })
}

fn describe(row: &TokenRow, expires_at: Option<Timestamp>) -> Token {
    Token {
        id: row.id,
        principal: row.principal,
        name: row.name.clone(),
        scope: row.scope,
        created_at: row.created_at,
        expires_at,
    }
}

pub(super) fn audit(caller: &Caller, at: Timestamp, action: &str, row: &TokenRow) -> AuditRow {
    AuditRow {
        at,
        principal: caller.principal,
        action: action.into(),
        object: format!("token:{} ({}, {})", row.id, row.scope, row.name),
        request_id: caller.request,
    }
}

/// The route is part of it: a key used for a job does not answer for a token.
fn hash_request(request: &CreateToken) -> [u8; 32] {
    let mut parts = vec![json!("POST /api/v1/tokens"), json!(request.name), json!(request.scope)];
    // Only where there is one, so that what was hashed before there were any stays the same.
    parts.extend(request.policy.as_ref().map(|policy| json!(policy)));
    Sha256::digest(Value::Array(parts).to_string().as_bytes()).into()
}
