"""How other homeservers were broken, one line for each way, and the tests that each way must fail at here.

Whoever finds another way adds a line, and the number by which the public knows it, where there is one. That the tests
exist is checked in test_known_attacks.py. Attacks on what this server has not (media, push gateways, application
services, previews of pages) come with these.
"""

from collections.abc import Mapping
from typing import Final

REQUESTS: Final = "tests/hostile/test_hostile_requests.py"
ANSWERS: Final = "tests/hostile/test_hostile_answers.py"
POLICY: Final = "tests/hostile/test_hostile_policy_servers.py"
RESTORING: Final = "tests/hostile/test_hostile_restoring.py"
NOTARY: Final = "tests/hostile/test_hostile_notary.py"
GRAPH: Final = "tests/hostile/test_graph_attacks.py"
OTHERS: Final = "tests/hostile/test_other_servers.py"
ATTACKS: Final = "tests/hostile/test_attacks.py"
ROOMS_OF_OTHERS: Final = "tests/hostile/test_other_rooms.py"
CLIENTS: Final = "tests/hostile/test_client_attacks.py"
RESOLUTION: Final = "tests/core/test_state_resolution_attacks.py"

# What is attacked: rooms (their rules, signatures and state), what may be read, who speaks, and whether the server
# stays up.
ROOMS: Final[Mapping[str, tuple[str, ...]]] = {
    "the authorisation rules are not those of the specification, so that servers part ways": (
        f"{GRAPH}::test_an_event_that_its_auth_events_forbid_is_rejected_and_shown_to_nobody",
        f"{REQUESTS}::test_what_the_rules_refuse_is_shown_to_nobody_and_given_to_nobody",
        "tests/convergence/test_convergence.py",
    ),
    "power levels that are no numbers are read as some": (
        f"{GRAPH}::test_no_garbage_in_power_levels_makes_a_room_unusable",
        "tests/core/test_power_levels.py::test_garbage_power_levels_read_as_levels_all_the_same",
    ),
    "a rejected event gets into the current state": (
        f"{GRAPH}::test_a_rejected_event_is_no_state_however_much_is_built_on_it",
        f"{RESOLUTION}::test_a_rejected_event_in_a_claimed_state_is_not_taken",
        f"{REQUESTS}::test_what_the_rules_refuse_is_shown_to_nobody_and_given_to_nobody",
    ),
    "events that were asked for are not checked like those that are sent": (
        f"{ANSWERS}::test_no_lie_about_missing_events_gets_into_a_room",
        f"{ANSWERS}::test_an_event_that_was_not_asked_for_is_not_taken_for_the_one_that_was",
        f"{RESTORING}::test_no_lie_about_a_lost_event_is_put_in_its_place_and_the_truth_is",
        f"{ANSWERS}::test_what_is_given_beside_a_room_is_left_out",
        f"{GRAPH}::test_only_what_receipt_has_checked_can_be_taken_in",
    ),
    "signatures are not always verified": (
        f"{REQUESTS}::test_events_that_their_server_has_not_signed_are_not_kept",
        f"{REQUESTS}::test_a_request_that_is_not_rightly_signed_is_refused_and_changes_nothing",
        f"{GRAPH}::test_an_event_in_the_name_of_this_servers_users_is_refused",
    ),
    "content is not what was hashed": (
        f"{REQUESTS}::test_an_event_with_other_content_than_was_hashed_is_kept_without_it",
        f"{GRAPH}::test_an_event_that_came_without_its_content_is_completed_by_no_other_one",
    ),
    "a server that a room shuts out speaks there by one of the ways in": (
        f"{REQUESTS}::test_a_server_that_a_room_shuts_out_takes_no_part_in_it",
        f"{OTHERS}::test_a_server_that_is_shut_out_is_told_nothing_of_its_room",
        "tests/services/federation/test_third_party_invites.py"
        "::test_a_server_that_the_room_shuts_out_has_nothing_exchanged",
    ),
    "events of another room authorise": (
        f"{GRAPH}::test_an_event_that_events_of_another_room_authorise_is_rejected",
        f"{REQUESTS}::test_events_of_other_rooms_and_for_other_rooms_are_not_kept",
        f"{RESOLUTION}::test_power_that_was_given_in_another_room_does_not_count",
    ),
    "a state that a server tells, a part of the true one, takes the place of the room's": (
        f"{ANSWERS}::test_no_lie_about_a_state_changes_that_of_the_room",
        f"{GRAPH}::test_a_given_state_that_is_a_part_of_the_true_one_takes_nothing_from_the_room",
        f"{RESOLUTION}::test_a_state_without_power_levels_leaves_the_powers_as_they_were",
    ),
    "what is told of the past is forged, or invented, or changes the present": (
        f"{ANSWERS}::test_no_lie_about_the_past_is_read_or_changes_the_present",
        f"{ANSWERS}::test_no_lie_about_a_state_of_the_past_changes_the_present",
        f"{ANSWERS}::test_what_was_said_before_is_read_from_another_server",
    ),
    "the event nearest to a time is another room's, or of another time": (
        f"{ANSWERS}::test_no_lie_about_times_shows_what_is_not_there",
    ),
    "members that are told later are forged, or make it another room": (
        f"{ANSWERS}::test_no_lie_about_members_makes_a_room_unusable_or_another_one",
        f"{ANSWERS}::test_a_room_without_members_that_lacks_what_matters_is_not_joined_or_can_be_left_and_joined_rightly",
        "tests/services/federation/test_room_completion.py"
        "::test_a_server_that_contradicts_what_is_known_is_not_believed_and_another_is",
    ),
    "resolution goes back to what was before": (
        f"{RESOLUTION}::test_a_branch_from_the_beginning_of_the_room_resets_nothing",
        f"{GRAPH}::test_a_demoted_admin_gets_no_power_back_by_building_on_the_past",
        f"{GRAPH}::test_a_state_that_was_given_wrongly_does_not_come_into_force_when_the_gap_closes",
    ),
    "a room has two create events": (
        f"{GRAPH}::test_a_second_create_event_begins_nothing_in_a_room_that_has_begun",
        f"{RESOLUTION}::test_a_second_create_event_founds_nothing_in_this_room",
        f"{ANSWERS}::test_a_room_that_is_given_wrongly_is_not_joined_and_can_be_joined_rightly",
    ),
    "a lie about a room keeps out who comes after it": (
        f"{ANSWERS}::test_a_join_that_was_refused_by_a_lie_does_not_stand_in_the_way_of_the_next",
    ),
    "the path names another room than the event": (
        f"{REQUESTS}::test_a_request_is_not_good_for_another_room_or_another_event",
        "tests/services/federation/test_third_party_invites.py"
        "::test_only_the_invites_of_the_asking_servers_users_are_exchanged",
    ),
    "the endpoint for invites signs whatever it is given": (
        f"{REQUESTS}::test_the_invite_endpoint_signs_invites_of_its_users_and_nothing_else",
    ),
    "the template of a join, leave or knock is signed as it comes": (
        f"{ANSWERS}::test_nothing_is_signed_but_the_join_that_was_wished",
        f"{ANSWERS}::test_nothing_is_signed_but_the_knock_that_was_wished",
        f"{ANSWERS}::test_nothing_is_signed_but_the_leave_that_was_wished",
        f"{ANSWERS}::test_an_invite_that_comes_back_as_something_else_is_not_sent",
        "tests/services/federation/test_joins.py::test_nothing_is_signed_in_the_name_of_one_who_is_not_there",
    ),
    "in old rooms any event is redacted by whoever likes": (
        f"{GRAPH}::test_a_user_without_power_redacts_nothing_of_another_server",
        f"{GRAPH}::test_a_redaction_with_an_id_of_the_server_that_it_robs_is_refused",
        f"{GRAPH}::test_nothing_is_redacted_from_another_room",
    ),
    "the create event is redacted, and the room's version with it": (
        f"{GRAPH}::test_no_redaction_takes_the_create_event_away",
    ),
    "users are made to join or leave": (f"{GRAPH}::test_nobody_is_made_to_join_leave_or_knock",),
    "what was redacted is still to be had": (
        "tests/api/test_security.py::test_what_was_redacted_reaches_nobody_who_had_not_seen_it",
        "tests/api/test_security.py::test_redacted_state_is_not_shown_as_what_was_before",
    ),
    "soft-failed events get into the current state, or are shown": (
        f"{GRAPH}::test_what_a_banned_user_says_from_before_the_ban_is_kept_and_shown_to_nobody",
        f"{RESOLUTION}::test_a_soft_failed_event_is_in_no_current_state_and_nothing_is_built_on_it",
    ),
    "signatures of policy servers are mixed up with those of senders": (
        "tests/services/federation/test_policy_servers.py::test_the_signature_that_the_server_made_as_the_sender_stays",
        "tests/services/federation/test_policy_servers.py::test_what_the_server_does_not_sign_is_soft_failed",
    ),
    "a policy server signs something else, or not rightly, or answers with what is no signature": (
        f"{POLICY}::test_what_it_does_not_rightly_sign_is_not_sent",
        f"{POLICY}::test_what_comes_without_its_right_signature_is_shown_to_nobody",
        f"{POLICY}::test_nothing_of_its_answer_is_in_the_event_but_its_signature",
        f"{POLICY}::test_who_joins_by_way_of_this_server_needs_its_signature",
        f"{POLICY}::test_no_wrong_signature_comes_with_a_room_that_is_joined",
    ),
    "somebody else signs in the place of a policy server": (
        f"{POLICY}::test_nobody_signs_in_the_place_of_a_policy_server",
    ),
    "a room calls this server its policy server, or one that is not in it": (
        f"{POLICY}::test_a_room_that_names_this_server_has_no_events_until_it_names_none",
        f"{POLICY}::test_a_room_that_names_a_server_which_is_not_in_it_asks_nobody",
        "tests/outbound/test_federation_client.py::test_this_server_does_not_ask_itself",
    ),
    "several servers have the same key, which everybody knows": (
        "tests/core/test_key_validity.py::test_a_compromised_key_signs_nothing",
        "tests/cli/test_setup.py::test_two_servers_have_different_keys",
    ),
    "keys sign that were given up or have run out": (
        f"{REQUESTS}::test_a_key_that_was_given_up_signs_nothing_any_more",
        f"{REQUESTS}::test_a_document_of_keys_that_is_wrong_lets_nobody_in",
        "tests/services/events/test_receipt.py::test_a_key_whose_validity_had_run_out_is_refused_from_version_5_on",
    ),
    "a notary lies about keys": (
        f"{NOTARY}::test_a_notary_that_lies_lets_nobody_in",
        f"{NOTARY}::test_a_notary_does_not_end_or_replace_the_keys_that_a_server_tells_of_itself",
        "tests/services/events/test_remote_keys.py::test_a_notary_cannot_bring_an_old_key_back_to_life",
    ),
    "a third-party invite is redeemed by somebody else, or in the name of one who is banned": (
        "tests/services/federation/test_third_party_invites.py"
        "::test_nobody_is_invited_in_the_name_of_a_user_who_is_banned",
        "tests/services/events/test_receipt.py"
        "::test_a_third_party_invite_put_into_an_invite_does_not_excuse_its_missing_signature",
    ),
}
READING: Final[Mapping[str, tuple[str, ...]]] = {
    "auth chains and states are given of rooms that are none of the asker's": (
        f"{OTHERS}::test_a_server_that_came_in_is_told_of_its_room_and_of_no_other",
        f"{OTHERS}::test_a_room_of_others_looks_like_none",
        "tests/services/federation/test_serving_state.py"
        "::test_an_event_of_another_room_is_refused_like_one_that_is_not_there",
    ),
    "the event nearest to a time tells what one may not see": (
        f"{OTHERS}::test_a_room_of_others_looks_like_none",
        "tests/services/federation/test_timestamps.py"
        "::test_what_a_server_may_not_see_is_passed_over_however_much_it_is",
    ),
    "missing events and history are given from before the asker came": (
        f"{OTHERS}::test_what_was_said_before_a_server_came_is_not_told",
        "tests/services/federation/test_serving_events.py::test_what_was_before_a_server_came_is_redacted",
    ),
    "an event or a room is given to clients for its ID, or its existence is": (
        f"{ROOMS_OF_OTHERS}::test_an_event_of_another_room_looks_like_none",
        f"{ROOMS_OF_OTHERS}::test_an_event_that_one_may_not_see_looks_like_none",
        f"{ROOMS_OF_OTHERS}::test_a_room_that_one_was_never_in_looks_like_none",
        f"{ROOMS_OF_OTHERS}::test_nothing_that_is_answered_tells_what_was_said",
        f"{ROOMS_OF_OTHERS}::test_every_field_that_names_a_room_or_an_event_is_asked_about",
    ),
    # CVE-2024-53867
    "a window of rooms shows those who left what came later": (
        f"{ROOMS_OF_OTHERS}::test_nothing_that_is_answered_tells_what_was_said",
        "tests/api/test_sliding_sync.py::test_who_was_removed_is_told_how_and_nothing_that_came_later",
        "tests/api/test_sliding_sync.py::test_a_room_that_its_user_left_is_told_of_once_where_it_was_known",
        "tests/api/test_sliding_sync.py::test_a_room_of_others_is_subscribed_to_in_vain",
    ),
    "lists of devices tell of those with whom no room is shared any more": (
        "tests/services/e2ee/test_device_lists.py::test_changes_after_the_end_of_sharing_are_not_told",
        "tests/services/e2ee/test_device_lists.py::test_who_leaves_the_last_shared_room_has_left_on_both_sides",
        "tests/services/e2ee/test_device_lists.py::test_who_left_before_one_joined_was_never_there",
    ),
    "events around one show what should be hidden": (
        "tests/services/rooms/test_timeline.py::test_every_answer_for_an_event_that_one_may_not_see_is_the_same",
        "tests/api/test_security.py::test_whether_an_event_exists_elsewhere_is_not_told",
    ),
    "rejected events are given to others": (
        f"{REQUESTS}::test_what_the_rules_refuse_is_shown_to_nobody_and_given_to_nobody",
        "tests/services/federation/test_serving_events.py::test_what_was_rejected_is_given_to_nobody",
    ),
    "members and names of closed rooms are told": (
        f"{OTHERS}::test_a_closed_space_looks_like_none",
        "tests/services/rooms/test_readers.py"
        "::test_names_of_a_room_are_for_who_is_in_it_or_may_read_it_anyway_and_administrators",
        "tests/services/rooms/test_timeline.py::test_members_of_a_time_that_one_may_not_see_are_not_told",
    ),
    "devices of other servers' users that happen to be known are told": (
        f"{REQUESTS}::test_devices_and_keys_of_users_of_others_are_told_to_nobody",
        "tests/services/federation/test_serving_devices.py::test_the_devices_of_users_elsewhere_are_not_ours_to_give",
    ),
    "who left a room is told what happens in it": (
        "tests/services/sync/test_rooms.py::test_who_was_kicked_and_banned_is_told_nothing_of_the_time_between",
        "tests/services/rooms/test_readers.py::test_who_was_kicked_does_not_see_what_happened_until_the_ban",
        "tests/api/test_sliding_sync.py::test_who_was_removed_is_told_how_and_nothing_that_came_later",
    ),
    "whether a room exists can be found out by its third-party invites": (
        "tests/services/federation/test_third_party_invites.py"
        "::test_rooms_that_are_not_here_look_like_those_without_the_invite",
    ),
}
SPEAKING: Final[Mapping[str, tuple[str, ...]]] = {
    "what is said in a room is taken for a command to the server": (
        f"{CLIENTS}::test_nothing_that_is_said_in_a_room_administers",
    ),
    "who takes a room's alias takes the room": (f"{CLIENTS}::test_who_takes_the_alias_of_a_room_has_no_power_in_it",),
    "receipts, typing, presence, devices and messages come in the name of others": (
        f"{REQUESTS}::test_nobody_speaks_in_the_name_of_users_of_others",
        "tests/services/federation/test_incoming_edus.py::test_receipts_are_forged_by_nobody",
    ),
    "EDUs are about rooms that their server is not in": (
        f"{REQUESTS}::test_a_server_says_nothing_about_rooms_that_it_is_not_in",
    ),
    "EDUs get past the list of servers that a room has": (
        f"{REQUESTS}::test_a_server_that_a_room_shuts_out_takes_no_part_in_it",
    ),
    "messages are for devices of users who are not here, or not any more": (
        f"{REQUESTS}::test_messages_for_devices_reach_those_of_users_here_and_nobody_else",
    ),
    "transactions are replayed": (
        f"{REQUESTS}::test_a_transaction_counts_once_however_often_it_is_sent",
        "tests/services/federation/test_incoming_edus.py::test_a_message_arrives_once_however_often_its_server_sends_it",
    ),
    "keys of devices come from a server that has no say in them": (
        f"{ANSWERS}::test_keys_of_devices_that_are_none_are_shown_to_nobody_and_end_nothing",
        f"{ANSWERS}::test_claimed_keys_of_others_are_given_to_nobody",
        "tests/services/e2ee/test_remote_users.py::test_a_server_has_no_say_in_users_of_others",
    ),
    "a user whose ID reads as a pattern has others banned": (
        "tests/services/admin/test_reports.py::test_a_reported_user_whose_id_looks_like_a_pattern_is_nobody_else",
        "tests/services/admin/test_user_patterns.py::test_who_is_named_is_one_user_whatever_characters_the_id_has",
    ),
    "a time that is not to be believed hides what is to be redacted": (
        "tests/services/admin/test_user_redactions.py::test_no_time_that_a_server_gave_keeps_an_event_from_being_found",
        "tests/storage/test_sent_events.py::test_stretches_leave_nothing_out_whatever_times_servers_gave",
    ),
}
STAYING_UP: Final[Mapping[str, tuple[str, ...]]] = {
    "an index of auth chains grows without bounds": (
        f"{REQUESTS}::test_a_long_auth_chain_costs_rows_by_its_length",
        "tests/core/test_event_graph.py::test_a_ladder_with_exponentially_many_paths_is_walked_once",
    ),
    "one malformed event stops all that goes out": (
        f"{REQUESTS}::test_a_message_to_a_device_that_no_strict_server_can_read_keeps_no_other_from_going_out",
        f"{REQUESTS}::test_events_that_no_room_can_have_are_not_kept",
        f"{REQUESTS}::test_events_that_one_server_cannot_bear_go_on_to_it",
        "tests/services/federation/test_sender.py"
        "::test_an_event_that_is_refused_is_found_and_left_out_and_the_others_go_on_in_order",
    ),
    "an event that this server fails at ends its room": (
        "tests/services/federation/test_receiver.py::test_an_event_at_which_this_server_fails_ends_no_room",
    ),
    # CVE-2024-52815
    "an invite breaks its user's sync": (
        f"{REQUESTS}::test_an_invite_that_shows_too_much_breaks_no_sync",
        f"{ANSWERS}::test_what_is_shown_to_somebody_who_knocks_breaks_no_sync",
    ),
    # CVE-2026-45076
    "a page of rejected or hidden events ends the history, or a list": (
        f"{CLIENTS}::test_pages_of_what_one_may_not_see_end_nothing",
        "tests/api/test_security.py::test_a_page_of_what_one_may_not_see_does_not_end_the_history",
        f"{GRAPH}::test_a_page_full_of_what_is_shown_to_nobody_does_not_end_the_history",
    ),
    "what is shown with an invite is too large to be sent": (
        f"{REQUESTS}::test_a_room_that_says_very_much_of_itself_keeps_no_server_from_being_invited",
    ),
    "what describes a room has another shape than it should, and lists of rooms break": (
        f"{CLIENTS}::test_state_of_any_shape_keeps_no_list_from_being_shown",
        f"{ANSWERS}::test_what_a_list_of_rooms_says_is_looked_at",
    ),
    # CVE-2025-61672
    "malformed keys of devices stop what goes out": (
        f"{ANSWERS}::test_keys_of_devices_that_are_none_are_shown_to_nobody_and_end_nothing",
        "tests/services/e2ee/test_device_keys.py"
        "::test_keys_of_others_and_keys_of_another_shape_are_refused_and_change_nothing",
    ),
    "changes of devices are told without end": (
        "tests/services/e2ee/test_remote_users.py"
        "::test_of_a_server_that_tells_of_too_many_changes_the_list_is_asked_for_once",
        f"{ANSWERS}::test_a_list_of_very_many_devices_is_kept_up_to_a_bound",
    ),
    # CVE-2023-45129
    "a list of servers is made to be slow": (
        f"{REQUESTS}::test_a_list_of_servers_full_of_wildcards_is_asked_without_end_to_the_room",
        "tests/core/test_server_acls.py::test_patterns_made_to_be_slow_are_answered_by_one_pass",
    ),
    # CVE-2021-29471
    "a push rule or a filter is made to be slow": (
        "tests/core/test_push_evaluation.py::test_rules_made_to_be_slow_see_the_beginning_of_long_texts_only",
        "tests/core/test_push_evaluation.py::test_of_very_many_or_costly_patterns_the_beginning_of_a_text_is_enough",
        "tests/core/test_push_rules.py::test_the_number_of_rules_is_limited",
        "tests/architecture/test_input.py::test_no_regular_expression_explodes",
        "tests/core/test_globs.py::test_patterns_made_to_backtrack_come_to_an_end",
        f"{ATTACKS}::test_no_condition_of_a_push_rule_keeps_others_from_speaking",
    ),
    "redactions go round in a circle": (
        f"{REQUESTS}::test_redactions_that_name_each_other_end",
        f"{GRAPH}::test_redactions_that_go_round_in_a_circle_end",
    ),
    "an event has the greatest depth, and none can come after it": (
        f"{REQUESTS}::test_an_event_of_the_greatest_depth_ends_no_room",
    ),
    "numbers are none: NaN, infinity, floats, integers without end": (
        f"{REQUESTS}::test_events_that_no_room_can_have_are_not_kept",
        f"{ATTACKS}::test_what_is_no_number_gets_into_no_room",
        f"{ATTACKS}::test_what_canonical_json_does_not_know_gets_into_no_strict_room",
        f"{CLIENTS}::test_what_is_no_number_is_in_no_body",
        f"{CLIENTS}::test_a_number_that_not_everybody_reads_breaks_nothing_wherever_it_is_kept",
    ),
    "an event is larger than may be": (
        f"{REQUESTS}::test_events_that_no_room_can_have_are_not_kept",
        "tests/services/federation/test_inbound_transactions.py::test_an_event_that_is_too_large_is_refused",
    ),
    "waiting for a lock costs more than what is locked": (
        "tests/runtime/test_locks.py::test_ten_thousand_waiters_that_do_not_wait_inside_are_no_deep_stack",
        "tests/services/federation/test_inbound_transactions.py::test_a_server_sends_few_transactions_at_once",
    ),
    "resolving states keeps everybody waiting": (
        f"{RESOLUTION}::test_thousands_of_conflicting_members_are_each_looked_at_a_bounded_number_of_times",
        "tests/services/events/test_state_merging.py::test_what_is_too_much_inside_a_write_is_merged_elsewhere_and_remembered",
    ),
    "a .well-known is huge, slow or endless": (
        "tests/outbound/test_well_known.py::test_over_real_connections_it_is_the_same",
        "tests/outbound/test_well_known.py::test_a_server_that_is_slow_about_it_is_not_waited_for",
        "tests/outbound/test_https.py::test_a_body_beyond_the_limit_is_refused_and_the_connection_ended",
    ),
    "a .well-known or an answer leads somewhere else": (
        f"{ANSWERS}::test_no_answer_leads_anywhere_else",
        "tests/outbound/test_well_known.py::test_redirects_are_followed_so_often_and_no_more",
        "tests/outbound/test_well_known.py::test_a_redirect_to_anything_but_a_plain_https_address_is_not_followed",
        "tests/outbound/test_connecting.py::test_what_a_name_leads_to_is_not_connected_to_unless_it_is_public",
        "tests/outbound/test_connecting.py::test_a_name_that_leads_elsewhere_the_second_time_is_judged_again",
    ),
    "parameters have no bounds": (
        f"{REQUESTS}::test_questions_without_bounds_get_bounded_answers",
        f"{REQUESTS}::test_a_transaction_has_no_more_than_it_may",
        f"{REQUESTS}::test_a_user_has_no_more_receipts_and_threads_than_may_be",
        f"{ATTACKS}::test_a_huge_limit_gives_a_page",
        f"{ATTACKS}::test_a_word_that_is_too_long_is_refused_wherever_it_would_be_kept",
    ),
    "a body unpacks to very much more, coming in": (
        f"{REQUESTS}::test_bodies_that_are_bombs_are_refused",
        f"{ATTACKS}::test_a_body_that_unpacks_to_more_is_not_unpacked",
    ),
    "an answer unpacks to very much more, or has no end": (
        f"{ANSWERS}::test_an_answer_that_is_packed_or_none_or_too_long_is_refused",
        f"{ANSWERS}::test_an_answer_without_end_is_read_no_further_than_may_be",
        "tests/outbound/test_https.py::test_a_compressed_body_is_refused",
    ),
    "rooms replace each other": (f"{CLIENTS}::test_rooms_that_replace_each_other_are_joined_and_replaced",),
    "relations go round in a circle, or are threads in threads and edits of edits": (
        f"{CLIENTS}::test_edits_of_edits_and_threads_in_threads_are_none",
        f"{REQUESTS}::test_events_that_relate_to_each_other_end",
        "tests/services/rooms/test_relations.py::test_what_relates_to_relations_is_found_up_to_a_depth",
        "tests/services/rooms/test_aggregations.py::test_an_event_of_a_thread_is_no_root_of_another",
        "tests/services/rooms/test_aggregations.py::test_edits_that_are_not_valid_are_not_told",
    ),
    "events name each other in a circle": (
        f"{REQUESTS}::test_events_that_name_each_other_are_never_judged_and_the_room_goes_on",
        f"{ANSWERS}::test_auth_events_that_name_each_other_are_left_out_of_a_room",
        f"{GRAPH}::test_a_circle_that_comes_all_at_once_takes_no_head_away",
    ),
    "events name what nobody has": (
        f"{REQUESTS}::test_events_that_name_what_nobody_has_cost_a_bounded_number_of_requests",
        f"{GRAPH}::test_events_without_ancestors_are_kept_up_to_a_bound_and_so_is_what_they_lack",
    ),
    "a history or an auth chain is invented as it is asked for": (
        f"{ANSWERS}::test_a_history_without_end_costs_a_bounded_number_of_requests_and_rows",
        f"{ANSWERS}::test_auth_events_that_are_invented_as_they_are_asked_for_end",
    ),
    "a room has thousands of branches": (f"{REQUESTS}::test_thousands_of_branches_leave_a_room_that_can_be_spoken_in",),
    "spaces hold each other, or have no end": (
        f"{ANSWERS}::test_what_is_said_of_spaces_costs_a_bounded_number_of_requests",
        "tests/services/rooms/test_hierarchy.py::test_circles_end_and_each_room_is_shown_once",
        f"{CLIENTS}::test_spaces_that_hold_each_other_are_walked_through_once",
        "tests/services/federation/test_hierarchy.py::test_a_space_in_itself_ends",
    ),
    "a room, a directory or a list of rooms names servers without end": (
        f"{ANSWERS}::test_whoever_is_said_to_be_in_a_room_is_not_believed_beyond_measure",
        "tests/services/rooms/test_remote_joins.py"
        "::test_a_server_that_names_very_many_others_has_only_some_of_them_written_to",
        f"{ANSWERS}::test_what_a_directory_says_is_looked_at",
        f"{ANSWERS}::test_what_a_list_of_rooms_says_is_looked_at",
    ),
    "profiles are not what they should be": (f"{ANSWERS}::test_what_a_profile_says_is_looked_at",),
    "a policy server is slow, or silent, or has the room change as it is asked": (
        f"{POLICY}::test_while_it_keeps_somebody_waiting_everybody_else_goes_on",
        f"{POLICY}::test_one_that_answers_slowly_or_without_end_is_waited_for_a_bounded_time",
        f"{POLICY}::test_one_that_hangs_up_is_left_alone_for_a_while_and_other_rooms_do_not_notice",
        f"{POLICY}::test_one_that_hangs_up_is_asked_a_few_times_for_very_many_events",
        f"{POLICY}::test_a_room_that_changes_as_often_as_it_is_asked_is_given_up",
        f"{POLICY}::test_a_policy_that_is_changed_while_it_is_asked_is_the_one_that_counts",
    ),
    "servers that failed together are all asked together for ever after": (
        "tests/services/federation/test_destinations.py"
        "::test_servers_that_failed_together_are_asked_at_moments_all_over_the_interval",
        "tests/services/e2ee/test_remote_users.py::test_a_server_that_is_there_again_is_asked_before_long",
    ),
    "strangers make this server ask others": (
        f"{REQUESTS}::test_a_server_without_keys_is_asked_for_them_a_few_times_and_no_more",
        "tests/services/federation/test_key_notary.py::test_a_query_makes_this_server_ask_only_some",
        "tests/services/e2ee/test_remote_device_keys.py::test_one_request_does_not_make_this_server_ask_the_whole_world",
    ),
    "a room, a user or this server is flooded: by joins, invites, events, accounts": (
        "tests/services/rooms/test_admission.py::test_a_user_or_a_room_has_so_many_invites_and_the_next_one_waits",
        "tests/services/rooms/test_admission.py::test_so_many_come_into_a_room_and_the_next_one_waits",
        "tests/services/federation/test_invites.py::test_a_server_brings_a_user_or_a_room_so_many_invites",
        "tests/services/federation/test_joins.py::test_so_many_join_a_room_through_this_server_and_the_next_one_waits",
        "tests/services/federation/test_inbound_transactions.py"
        "::test_a_server_that_sends_too_much_into_a_room_is_told_to_wait_and_loses_nothing",
        "tests/services/accounts/test_new_accounts.py"
        "::test_so_many_accounts_are_made_from_one_place_and_others_are_made_elsewhere",
    ),
    "limits that keep out those who ask in vain keep out others": (
        "tests/services/federation/test_joins.py::test_who_asks_in_vain_keeps_no_other_server_out",
        "tests/services/rooms/test_admission.py::test_who_is_in_a_room_keeps_nobody_out_by_saying_so",
    ),
    "code or a bot that looks for spam fails, hangs or lies": (
        "tests/services/test_spam_checks.py::test_a_check_that_fails_means_what_its_setting_says",
        "tests/services/test_spam_checks.py::test_nobody_waits_for_a_check_for_ever",
        "tests/outbound/test_callbacks.py::test_what_is_no_answer_is_none",
    ),
    "input makes this server fail": (
        "tests/hostile/test_declared.py::test_bad_input_is_refused_and_changes_nothing",
        "tests/hostile/test_openapi.py::test_whatever_the_specification_brings_forth_is_answered",
        f"{ATTACKS}::test_a_push_rule_beside_one_that_is_not_there_is_refused",
    ),
    "auth events are no state, or the wrong one": (
        f"{REQUESTS}::test_auth_events_that_are_no_state_or_not_the_right_ones_authorise_nothing",
        f"{GRAPH}::test_an_auth_event_that_is_listed_twice_makes_an_event_rejected",
    ),
}
# Who somebody is, and what only they know.
SECRETS: Final[Mapping[str, tuple[str, ...]]] = {
    "whoever names another address in a header is not limited": (
        f"{ATTACKS}::test_whoever_is_no_proxy_cannot_be_somebody_else",
        f"{ATTACKS}::test_behind_a_proxy_only_what_the_proxy_says_counts",
        f"{ATTACKS}::test_no_header_is_another_address_for_what_is_counted_by_address",
        "tests/http/test_client_address.py::test_the_client_is_the_rightmost_that_is_no_proxy",
        "tests/http/test_rate_limiting.py::test_an_ipv6_household_counts_as_one",
        "tests/api/test_abuse_limits.py::test_accounts_invites_joins_and_failed_logins_are_counted",
    ),
    "an account that has no password lets anybody in": (
        f"{ATTACKS}::test_an_account_without_a_password_is_nobodys",
        "tests/services/accounts/test_passwords.py::test_what_is_no_hash_is_nobodys_password",
    ),
    "tokens are guessed": (
        "tests/services/accounts/test_token_values.py"
        "::test_tokens_are_long_enough_that_nobody_guesses_one_and_never_the_same",
        "tests/runtime/test_randomness.py::test_tokens_of_the_system_differ",
    ),
    # CVE-2023-41335
    "a password lies in the open while it is being changed": (
        f"{ATTACKS}::test_no_password_is_kept_in_the_open_while_it_is_being_changed",
        "tests/services/accounts/test_password_change.py::test_the_plain_password_is_nowhere_in_the_database",
    ),
    "who is locked goes on with a session from before, or begins another": (
        f"{ATTACKS}::test_who_is_locked_begins_no_session_and_keeps_none",
        "tests/services/accounts/test_sessions.py::test_a_locked_user_does_not_refresh",
    ),
    "guests use the TURN servers": (
        "tests/services/accounts/test_calls.py::test_guests_get_no_credentials_unless_the_operator_says_so",
        "tests/api/test_guests.py::test_turn_servers_carry_the_calls_of_guests_only_if_that_was_set",
        "tests/core/test_turn.py::test_a_password_counts_for_one_user_one_time_and_one_secret",
    ),
    "signatures of keys are kept that nobody has verified": (
        "tests/services/e2ee/test_cross_signing.py::test_no_signature_is_kept_that_does_not_verify",
        "tests/services/e2ee/test_cross_signing.py::test_signatures_by_others_in_an_uploaded_key_are_not_kept",
        "tests/services/e2ee/test_cross_signing.py::test_keys_of_others_cannot_be_signed_but_for_their_master_key_"
        "by_ones_own_user_signing_key",
        "tests/services/e2ee/test_device_keys.py::test_signatures_by_other_users_in_a_devices_keys_are_not_kept",
    ),
    "tokens are in logs, errors or measurements": (
        f"{ATTACKS}::test_no_secret_is_in_the_log_or_in_what_is_answered_or_measured",
        "tests/http/test_authentication.py::test_a_token_in_the_query_counts_only_where_that_is_accepted",
        "tests/http/test_authentication.py::test_the_header_goes_before_the_query",
    ),
    "how long a comparison takes tells a secret": (
        "tests/architecture/test_input.py::test_no_secret_is_compared_in_the_open",
        "tests/services/accounts/test_token_values.py::test_what_cannot_be_a_token_is_not_looked_up",
    ),
    "a proof of the shared secret is used again, or late, or for more than it was for": (
        "tests/services/accounts/test_shared_secret.py::test_a_nonce_counts_once_even_for_a_wrong_proof",
        "tests/services/accounts/test_shared_secret.py::test_a_nonce_does_not_last",
        "tests/services/accounts/test_shared_secret.py::test_a_proof_for_a_user_makes_no_administrator",
        "tests/services/accounts/test_shared_secret.py::test_nul_cannot_move_the_borders_of_what_is_proven",
    ),
    "a token that is empty, of another kind or of somebody gone is somebody's": (
        f"{ATTACKS}::test_an_empty_token_is_nobodys",
        f"{ATTACKS}::test_a_token_for_something_else_is_no_access_token",
        f"{ATTACKS}::test_a_deactivated_user_is_out_and_stays_out",
    ),
}
KNOWN_ATTACKS: Final = {**ROOMS, **READING, **SPEAKING, **STAYING_UP, **SECRETS}
