//! What every database does for devmesh, whichever it is.
//!
//! A case is a function of a [`store::Database`] that nobody wrote to before. Each stands once in the list below, and every
//! database has a line in [`databases`] that runs the whole list: a second database is one more line.

mod access;
mod books;

/// Makes a module with a test for each case, over a store that `$open` makes.
macro_rules! conformance {
    ($database:ident over $open:path: $($noun:ident { $($case:ident),+ $(,)? })+) => {
        mod $database {
            $(mod $noun {
                $(#[tokio::test]
                async fn $case() {
                    let (_folder, store) = $open().await;
                    crate::conformance::$noun::$case(&*store).await;
                })+
            })+
        }
    };
}

/// Hands every case to `conformance!`.
macro_rules! databases {
    ($($database:ident over $open:path),+ $(,)?) => {
        $(conformance! {
            $database over $open:
            access {
                tokens_are_kept_until_they_are_deleted,
                a_token_is_made_once_for_one_request,
                a_key_stands_for_one_request,
                a_repeat_is_answered_although_there_are_enough_tokens,
                a_token_takes_the_place_of_others,
                the_newest_policy_of_a_key_is_kept_until_its_token_goes,
                answers_are_remembered_until_they_are_swept,
                every_change_leaves_its_entry,
                nothing_refused_leaves_an_entry,
                entries_made_at_once_are_one_chain,
                the_audit_trail_is_listed_newest_first_by_who_what_and_on_what,
                what_is_left_of_the_audit_trail_is_still_chained,
            }
            books {
                spend_adds_up_per_account_and_window,
                books_open_with_what_still_counts,
                a_batch_counts_once_however_often_it_is_sent,
                a_batch_is_written_whole_or_not_at_all,
                model_calls_are_listed_newest_first_by_caller_and_job,
                a_page_of_long_records_ends_early,
                old_model_calls_are_swept_and_spend_stays,
                the_ledger_is_dense_and_keeps_what_it_was_given,
                jobs_nobody_knows_are_over,
            }
        })+
    };
}

databases! { sqlite over crate::support::store }
