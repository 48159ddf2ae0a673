//! What every database does for devmesh, whichever it is.
//!
//! A case is a function of a [`store::Database`] that nobody wrote to before. Each stands once in the list below, and every
//! database has a line in [`databases`] that runs the whole list: a second database is one more line.

mod access;
mod books;
mod content;
mod jobs;
mod lists;
mod log;
mod profiles;

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
            lists {
                jobs_are_listed_newest_first_by_owner_state_kind_and_id,
                a_page_of_long_jobs_ends_early,
                approvals_are_listed_newest_first_by_owner_job_and_whether_they_wait,
                a_page_of_large_approvals_ends_early_and_every_one_is_reached,
            }
            jobs {
                a_row_comes_back_as_it_was_stored,
                a_change_leaves_alone_what_never_changes,
                a_decision_that_refuses_leaves_nothing_and_comes_back_by_its_type,
                the_same_request_makes_one_job,
                the_queue_goes_by_priority_and_every_job_ages,
                a_principal_with_a_long_queue_takes_its_share_and_no_more,
                nobody_runs_more_than_allowed_and_delayed_jobs_wait,
                a_kept_job_goes_to_whom_it_is_kept_for_while_it_waits,
                a_lease_that_cannot_begin_is_none,
                finished_jobs_are_deleted_oldest_first,
                changes_are_told_in_order_and_a_revision_is_given_once,
                the_newest_change_has_a_time,
                an_approval_is_asked_decided_used_and_spent,
            }
            content {
                content_is_new_once,
                a_recovery_sees_all_tokens_and_replaces_those_it_names,
            }
            profiles {
                the_newest_profile_of_a_model_is_kept_until_it_is_deleted,
                there_are_no_more_profiles_than_allowed,
            }
            log {
                a_page_ends_at_its_rows_or_its_bytes_and_never_empty,
                only_the_attempt_that_holds_the_job_writes,
                a_batch_is_stored_once_and_only_as_it_was,
                a_deleted_job_takes_its_log_with_it,
                many_writers_make_one_dense_chain,
            }
        })+
    };
}

databases! { sqlite over crate::support::store }
