//! The daemon on real Podman; `make setup` brings the engine and the image.

mod live;

use live::engine::Kind;
use live::on_engine;

on_engine! { Kind::Podman,
    wake: one_start_serves_every_client the_probe_connection_serves_the_first_client
        a_server_that_speaks_first_is_heard a_client_that_leaves_while_held_is_forgotten
        a_start_nobody_waits_for_any_more_ends_asleep a_held_clients_bytes_are_not_read;
    ready: a_default_health_interval_delays_nobody an_earlier_verdict_does_not_count
        ready_tcp_ignores_the_health_check ready_health_waits_for_the_health_check
        ready_http_asks_the_application;
    idle: the_idle_window_starts_with_the_last_close
        a_window_of_nothing_sleeps_with_the_last_close an_infinite_window_never_sleeps
        a_container_found_awake_is_owed_a_window a_warm_connection_costs_no_engine_call;
    history: figures_and_a_hold_survive_a_restart;
    hours: it_is_awake_before_the_first_client it_is_kept_asleep_and_refuses
        who_is_held_by_the_hours_is_served_at_their_end
        who_wakes_it_in_hours_of_sleep_leaves_no_window;
    stopping: a_client_during_the_stop_is_held_and_served
        a_client_during_a_stubborn_stop_is_served;
    streams: a_half_closed_client_gets_its_answer both_directions_carry_every_byte
        a_large_answer_arrives_whole a_reset_is_passed_on both_legs_are_kept_alive
        a_dead_peer_is_given_up;
    failures: an_application_that_exits_is_reported the_back_off_doubles
        a_container_that_is_never_healthy_is_given_up a_port_that_never_opens_is_given_up
        a_container_that_cannot_be_started_is_reported;
    outside: a_paused_container_is_resumed a_container_paused_before_the_daemon_is_resumed
        a_container_thawed_by_others_goes_on a_container_stopped_by_others_is_woken_again
        a_killed_container_ends_its_connections a_container_made_anew_is_served
        a_container_replaced_while_awake_is_found the_name_decides_after_a_rename;
    shutdown: sigterm_drains_and_leaves_the_container sigterm_serves_who_is_held the_drain_ends
        an_idle_daemon_ends_at_once on_exit_stop_stops_the_container the_next_daemon_goes_on
        the_status_follows;
    policy: a_paused_sleep_is_ended_by_a_client a_paused_one_is_stopped_in_the_end
        labels_tell_how_deep a_reclaimed_one_is_served_again
        a_command_in_the_container_may_say_no a_path_of_the_application_may_say_no
        a_command_of_the_host_may_say_no what_works_without_clients_stays_awake
        it_is_awake_for_so_long_at_least a_silent_connection_keeps_it_awake_no_longer
        an_open_connection_without_bytes_is_no_use a_waiting_client_may_end_a_stubborn_stop
        a_dry_run_puts_nothing_to_sleep;
    networks: a_container_on_the_host_network_is_reached
        a_container_in_anothers_network_is_reached the_chosen_network_is_used
        a_user_made_network_is_reached a_given_upstream_is_used;
    ports: the_first_datagram_wakes_it_and_is_answered a_flow_outlives_a_stop_by_others
        datagrams_through_a_published_port_wait_for_the_application
        streams_and_datagrams_share_one_container the_application_is_told_who_the_client_is;
    engine_gone: live_connections_survive_the_engine a_client_waits_for_the_engine
        no_client_waits_beyond_its_deadline a_stop_in_the_dark_is_seen_afterwards
        the_daemon_may_start_first
        the_podman_service_is_killed_and_restarted;
    discovery: all_containers_are_listed containers_that_come_and_go_are_seen
        an_engine_that_is_away_takes_no_snapshot_along
        discovery_and_drivers_share_one_event_stream;
    calls: a_frozen_container_goes_on_after_its_thaw a_frozen_container_is_stopped_after_a_thaw
        a_kill_ends_a_stubborn_stop a_command_in_a_container_has_its_exit_status
        a_command_that_floods_its_output_ends_well a_command_that_hangs_is_ended
        its_usage_grows_with_its_work a_frozen_containers_memory_is_taken_back;
    reload: no_connection_is_lost_under_reloads;
    gate: who_says_nothing_wakes_nobody only_a_hello_for_a_host_of_ours_wakes
        only_a_whole_head_wakes others_are_refused_asleep_and_served_awake others_are_never_served
        it_is_woken_so_often_by_one_and_by_all a_monitor_is_answered_asleep_and_passed_on_awake;
    groups: a_group_wakes_in_its_order_and_sleeps_in_reverse a_shared_database_is_counted
        a_member_that_fails_is_named compose_labels_tell_the_order
        labels_are_obeyed_while_they_change;
    check: check_finds_nothing_wrong check_misses_the_container check_finds_no_engine
        check_finds_permission_missing check_finds_the_port_taken check_finds_auto_remove
        check_finds_a_restart_policy check_finds_no_address check_advises_a_health_check
        check_shows_groups_and_labels;
    race: no_client_is_lost_between_sleeping_and_waking;
}

/// A network in user space gives the container no address the host can reach, as rootless does.
#[test]
fn a_published_port_is_enough() {
    let engine = live::engine::Engine::get(Kind::Podman);
    live::cases::networks::a_published_port_is_enough(&engine, "slirp4netns");
}
