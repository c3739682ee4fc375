//! UM116x: jobs that run by the clock.

use super::codes;

codes! {
    1160 CRON_CONFIG Invalid {
        title: "the config of the cron provider or of its link is wrong",
        why: "Keys and values are checked when the link is made, so that a slip does not become a job that never runs.",
        help: "known keys are `schedule`, `cronjobs`, `timezone`, `payload`, `path`, `run_timeout_ms`, `overlap`, `catch_up`",
    }
    1161 CRON_SCHEDULE Invalid {
        title: "the schedule cannot be read",
        why: "A schedule is a cron line of 5 fields (minute, hour, day of month, month, day of week), of 6 with seconds before them, or a word such as `@daily` or `@every 10s`.",
        help: "write e.g. `0 3 * * *` for every night at 3, or `*/10 * * * * *` for every ten seconds",
    }
    1162 CRON_NEVER Invalid {
        title: "the schedule names no time that comes",
        why: "Every field is well-formed, but together they name a day that no calendar has, such as the 30th of February.",
        help: "correct the day of month or the month; `L` is the last day of a month",
    }
    1163 CRON_TIMEZONE Invalid {
        title: "the time zone is not known",
        why: "Time zones are those of the IANA database, by their names.",
        help: "write e.g. `Europe/Berlin`, or `UTC`",
    }
    1164 CRON_LINK_CONTRACT Invalid {
        title: "the cron provider does not carry this contract",
        why: "It calls a component's `wasmcloud:cron/scheduler`, `wasi:http/incoming-handler` or `wasi:cli/run`. Components do not call it.",
        help: "make the link from the provider to the component, with `namespace: wasmcloud`, `package: cron`, `interfaces: [scheduler]`",
    }
    1165 CRON_RUN_FAILED Guest {
        title: "a job ended with an error",
        why: "The component answered with an error, or with an HTTP status of 400 or more. The job runs again at its next time.",
        help: "the message has the component's words; `umbel logs APP` may say more",
    }
    1166 CRON_RUN_TIMEOUT Timeout {
        title: "a job took longer than it may",
        why: "A run has a deadline, so that one that never ends does not keep the next ones from running.",
        help: "raise `run_timeout_ms` in the link's source config, or find what the job waits for",
    }
    1167 CRON_TARGET_DOWN Unavailable {
        title: "the component of a job is not running",
        why: "The time of the job came, and the component was not there, or does not export what the link names, for a minute.",
        help: "`umbel ps` shows its state; `umbel inspect` shows its exports",
    }
    1168 CRON_STATE Internal {
        title: "the time of a job's last run could not be kept or read",
        why: "A job with `catch_up: once` writes down when it ran, in the provider's folder.",
        help: "check the disk and the permissions of the state folder: `umbel doctor`",
    }
}
