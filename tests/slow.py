"""Which tests ``make test-fast`` leaves out, and why: it is to answer within a minute, on two cores.

Names are of modules, wherever they are, or of single tests. Tests with the marker ``browser`` are slow, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

WHY = {
    "start processes or servers of their own": """
        test_mutations test_cost test_other_project test_prove test_procfile test_services test_postgres test_up test_web
        test_deploy test_full_broker test_logs test_settings test_tls test_tasks test_probes test_crash test_replica test_restore
        test_history test_visible test_resharding test_locale test_killed_writer test_slow_redis test_damaged_clock
        test_encodings test_two_databases test_another_database test_silent_redis test_redis_loss
        test_counts_are_sent_at_exit test_stampede
        test_all_servers_are_measured
        test_the_next_import_finishes_one_that_was_killed_in_a_batch
        test_a_lease_that_a_killed_process_left_costs_no_more_than_the_budget
        test_a_child_process_counts_its_own_reads_only
        test_a_form_is_posted_by_a_browser""",
    "try many cases": """
        test_query_walk_fuzz test_queries_after_writes test_protocol_stateful test_damage test_unseen test_capture test_recipes
        test_own_transaction test_promise test_attacks test_lost_tags test_nesting test_who_asks test_lost_commit test_epochs
        test_an_inner_query_is_refused_for_untrusted_sql_that_decides
        test_altered_bytes_are_damaged_or_a_value_of_known_types
        test_every_truncation_and_addition_is_damaged
        test_every_value_comes_back_to_the_bit""",
    "need much data, or all pages": """
        test_shop_walk test_page_dependencies
        test_admission test_former_addresses test_admin_large test_storm test_demo test_facet_counts test_warm
        test_reconcile test_import_real
        test_admin test_dashboard test_throttle test_rollup
        TestCaching TestListings
        test_a_compression_bomb_stops_at_the_limit
        test_bombs_cost_little_time_and_memory""",
    "wait for clocks and for each other": """
        test_wall_clocks test_waiting test_budget test_unanswered test_savepoints test_aside test_visitors
        test_mend test_paused_drain
        test_admin_conflicts
        test_the_thread_sends_by_itself_each_second
        test_a_batch_that_loses_a_deadlock_is_written_again""",
}
NAMES = frozenset(name for names in WHY.values() for name in names.split())


def is_slow(item: pytest.Item) -> bool:
    """Whether the test, its class or its module is named above, or it needs a browser."""
    path = item.nodeid.partition("[")[0].split("::")
    module = path[0].rpartition("/")[2].removesuffix(".py")
    return not NAMES.isdisjoint({module, *path[1:]}) or item.get_closest_marker("browser") is not None
