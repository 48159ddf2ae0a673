//! What every database does for devmesh, whichever it is.
//!
//! A case is a function of a [`store::Database`] that nobody wrote to before. Each stands once in the list below, and every
//! database has a line in [`databases`] that runs the whole list: a second database is one more line.

mod jobs;
mod log;

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
