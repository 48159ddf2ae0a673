//! [`Recovery`] on SQLite.

use super::Sqlite;
use crate::operations::{Answer, DecideRecovery, Recovered, Recovery};

impl Recovery for Sqlite {
    fn recover(&self, mut decide: DecideRecovery) -> Answer<Recovered> {
        self.relieve(move |transaction| {
            let tokens = transaction.tokens()?;
            let recovered = decide(&tokens);
            let is_gone = |id| recovered.gone.iter().any(|gone| gone.id == id);
            for gone in &recovered.gone {
                transaction.delete_token(gone.id)?;
                let stays = |token: &&crate::TokenRow| token.principal == gone.principal && !is_gone(token.id);
                if gone.principal != recovered.token.principal && !tokens.iter().any(|token| stays(&token)) {
                    transaction.delete_key_policy(gone.principal)?;
                }
            }
            transaction.insert_token(&recovered.token)?;
            for entry in &recovered.audit {
                transaction.audit(entry)?;
            }
            Ok(recovered)
        })
    }
}
