//! A new admin token for somebody who has the data folder and no token: after a restore, or when the file was lost.

use super::{
    secret::Secret,
    tokens::{AdminTokenError, FIRST_ADMIN, audit, new_row, write_private},
};
use domain::{Clock, PrincipalId, RequestId, Scope};
use jobs::Caller;
use std::{io, path::Path};
use store::{Recovered, Store, TokenRow};

/// What becomes of the tokens there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlierTokens {
    /// None of them works any more: somebody may have revoked one since they were written down.
    Dropped,
    Kept,
    /// Only the one that stood in the file ends.
    KeptButTheFirst,
}

impl EarlierTokens {
    fn ends(self, token: &TokenRow) -> bool {
        match self {
            Self::Dropped => true,
            Self::Kept => false,
            Self::KeptButTheFirst => token.scope == Scope::Admin && token.name == FIRST_ADMIN,
        }
    }
}

/// What became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetToken {
    /// Shown once.
    pub secret: Secret,
    pub dropped: usize,
    pub kept: usize,
}

/// Makes a new admin token and writes it to `file`, readable by its owner alone. It belongs to whoever had the first admin token,
/// so that what was theirs still is, and otherwise to somebody new: never to another admin. The file is on disk before the store knows the token: a crash between the two leaves a
/// useless file, and the next try mends it.
pub async fn reset_admin_token(
    store: &Store,
    clock: &dyn Clock,
    file: &Path,
    earlier: EarlierTokens,
) -> Result<ResetToken, AdminTokenError> {
    let now = clock.now();
    let secret = Secret::generate(Scope::Admin);
    let (path, text) = (file.to_owned(), secret.expose());
    let written = tokio::task::spawn_blocking(move || write_private(&path, &text)).await.map_err(io::Error::other);
    written.flatten().map_err(|cause| AdminTokenError::File { file: file.display().to_string(), cause })?;
    let (stranger, request, made) = (PrincipalId::new(now), RequestId::new(now), secret.clone());
    let recovered = store.recover(Box::new(move |tokens| {
        let is_the_first = |token: &&TokenRow| token.scope == Scope::Admin && token.name == FIRST_ADMIN;
        let owner = tokens.iter().filter(is_the_first).min_by_key(|token| token.id);
        let principal = owner.map_or(stranger, |token| token.principal);
        let by_the_program = Caller { principal, scope: Scope::Admin, request };
        let (gone, kept): (Vec<_>, Vec<_>) = tokens.iter().cloned().partition(|token| earlier.ends(token));
        let token = new_row(FIRST_ADMIN.into(), principal, &made, Scope::Admin, now);
        let mut entries: Vec<_> = gone.iter().map(|gone| audit(&by_the_program, now, "token.delete", gone)).collect();
        entries.push(audit(&by_the_program, now, "token.create", &token));
        Recovered { gone, kept: kept.len(), token, audit: entries }
    }));
    let recovered = recovered.await?;
    Ok(ResetToken { secret, dropped: recovered.gone.len(), kept: recovered.kept })
}
