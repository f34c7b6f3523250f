//! What every back end must do, written once: the same tests run against each through a [`Backend`].
//!
//! Answers are compared with those of a made-up world that knows them by brute force, not with "no
//! error".

pub(crate) mod feed;
pub(crate) mod questions;
pub(crate) mod world;
pub(crate) mod writing;

use std::future::Future;

use crate::pipeline::store::Store;
use crate::store::read::Queries;

/// Makes stores over one set of data, which outlives them.
pub(crate) trait Backend {
    type Store: Store + Queries + 'static;
    /// Of the combined filters every how many-eth is asked: all, unless a question costs the server a
    /// look at every log.
    const FILTER_STRIDE: usize = 1;
    /// Opens the data for a process whose layouts are numbered from `shift` on.
    fn open(&self, shift: u32) -> impl Future<Output = Self::Store>;
    /// Throws the data away.
    fn done(self) -> impl Future<Output = ()>;
}

/// Defines one test per rule for a back end. `$backend` makes a fresh, empty one, or none where the
/// server is missing, which it then has told of.
macro_rules! contract_tests {
    ($backend:expr) => {
        $crate::store::contract_tests::contract_tests!(@each $backend;
            writing: a_store_remembers_where_it_stands,
            writing: a_unit_that_does_not_continue_the_index_is_refused_whole,
            writing: a_malformed_unit_is_refused_whole,
            writing: a_rewind_takes_back_everything_of_its_blocks,
            writing: undo_records_restore_and_vanish_with_finality,
            writing: random_reorgs_leave_what_the_chain_says,
            writing: proof_is_counted_from_the_first_block_without_gap,
            writing: layouts_keep_their_meaning_when_a_process_numbers_them_anew,
            writing: chains_do_not_mix,
            questions: events_answer_every_filter,
            questions: a_bulk_load_answers_like_a_live_one,
            questions: pages_are_not_shifted_by_new_blocks,
            questions: chains_are_listed_as_one_by_time,
            questions: holders_are_right_at_every_block,
            questions: holders_pages_answer_for_the_block_of_the_first,
            questions: holdings_and_tokens_are_listed,
            questions: a_wallet_is_found_in_the_storage_that_its_registry_uses,
            questions: foreign_cursors_are_refused,
            questions: undecoded_logs_are_kept_and_counted,
            feed: a_reader_at_any_pace_ends_with_the_chain,
            feed: a_late_reader_hears_nothing_of_what_was_retracted_before,
            feed: finality_is_told_once,
        );
    };
    (@each $backend:expr; $($file:ident: $name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(backend) = $backend else { return };
                $crate::store::contract_tests::$file::$name(&backend).await;
                $crate::store::contract_tests::Backend::done(backend).await;
            }
        )*
    };
}
pub(crate) use contract_tests;
