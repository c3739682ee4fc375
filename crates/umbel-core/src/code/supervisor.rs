//! UM07xx: supervised tasks and processes.

use super::codes;

codes! {
    701 CHILD_ENDED Unhealthy {
        title: "a child that must keep running has ended",
        why: "The child returned without an error although its restart is permanent.",
        help: "see why it ended: umbel logs",
    }
    702 CHILD_PANICKED Internal {
        title: "a child panicked",
        why: "This is a fault in Umbel or in a library that it uses. The panic was contained; the child is restarted by its policy.",
        help: "please report it with the message and the output of: umbel doctor",
    }
    703 START_TIMEOUT Timeout {
        title: "a child was not ready in time",
        why: "The child was started, but did not say that it is ready before its start deadline.",
        help: "see what it waits for: umbel logs",
    }
    704 CHILD_KILLED Timeout {
        title: "a child did not stop in time and was killed",
        why: "It was asked to stop, and was still running when its stop deadline had passed.",
        help: "see what it was doing: umbel logs",
    }
    705 CHILD_ABANDONED Internal {
        title: "a child did not end even when it was killed",
        why: "A task that never yields, or a thread that does not look at its stop flag, cannot be ended from outside.",
        help: "restart the host: umbel down && umbel up",
    }
    706 INTENSITY_EXCEEDED Unhealthy {
        title: "a supervisor gave up restarting its children",
        why: "Its children failed more often than its intensity allows, and the failure was passed to its parent.",
        help: "see which child fails, and why: umbel tree",
    }
    707 CHILD_EXISTS Conflict {
        title: "a child of that id exists already",
        why: "Ids are unique among the children of one supervisor.",
        help: "see the children: umbel tree",
    }
    708 CHILD_UNKNOWN NotFound {
        title: "no child has that id",
        why: "It was never started here, or it has been removed.",
        help: "see the children: umbel tree",
    }
    709 SUPERVISOR_STOPPED Unavailable {
        title: "the supervisor is not running",
        why: "It is stopping or stopped, or it is between two restarts.",
        help: "see its state: umbel tree",
    }
    710 CHILD_STOPPED Unavailable {
        title: "the child was stopped before it was ready",
        why: "Somebody stopped or removed it while it was starting.",
        help: "see its state: umbel tree",
    }
    720 PROCESS_NOT_STARTED Internal {
        title: "a process could not be started",
        why: "The program is missing or not executable, or the machine has no room for another process.",
        help: "check the machine: umbel doctor",
    }
    721 PROCESS_FAILED Unhealthy {
        title: "a process ended with a failure",
        why: "Its exit status was not zero, or a signal ended it.",
        help: "see what it printed: umbel logs",
    }
    722 PROCESS_DEADLINE Timeout {
        title: "a process did not end in time and was killed",
        why: "It ran longer than its wall-clock deadline. The whole process group was killed.",
        help: "see what it printed: umbel logs",
    }
    723 PROCESS_CPU_LIMIT Exhausted {
        title: "a process used up its CPU time",
        why: "It used more CPU seconds than its limit allows, and the system ended it.",
        help: "see what it printed: umbel logs",
    }
    724 PROCESS_STOPPED Unavailable {
        title: "a process was stopped",
        why: "What started it was asked to stop. The whole process group was ended.",
        help: "try again when the host runs: umbel ps",
    }
    725 PROCESS_IO Internal {
        title: "talking to a process failed",
        why: "A pipe to the process, or waiting for its end, failed with a system error.",
        help: "check the machine: umbel doctor",
    }
    726 PROCESS_CONTAINMENT Internal {
        title: "the cgroup of a process failed",
        why: "Every long-running process has a cgroup of its own, so that all of it can be limited and ended. Making, entering or reading it failed.",
        help: "see which cgroups this machine offers: umbel doctor",
    }
    727 PROCESS_SANDBOX Invalid {
        title: "the sandbox of a process could not be made",
        why: "A path of its landlock profile does not exist, or this kernel has no landlock or no seccomp filters.",
        help: "correct the paths of the profile, or run the process without one; `umbel doctor` shows what the kernel offers",
    }
    728 PROCESS_RECORD Internal {
        title: "the record of a running process cannot be used",
        why: "The file that says what runs is damaged, or a newer Umbel wrote it. What belongs to its name is ended and started anew.",
        help: "see what runs: umbel ps",
    }
    729 PROCESS_REMAINS Timeout {
        title: "a process could not be ended",
        why: "It was killed and is still there: it waits for a device or a network file system. Its record is kept, and ending it is tried again.",
        help: "see what it waits for in the log of the kernel; the next start of the host tries again",
    }
    730 THREAD_NOT_STARTED Exhausted {
        title: "a thread could not be started",
        why: "The machine, or a limit of this user, has no room for another thread.",
        help: "check the machine: umbel doctor",
    }
    731 CORE_FULL Exhausted {
        title: "too much work waits for a core of the data path",
        why: "Work is given to a core faster than it is taken up there; the queue has a limit so that memory has one.",
        help: "try again in a moment; `umbel ps` shows which component uses the processor",
    }
    732 CORE_ENDED Unavailable {
        title: "a core of the data path gave no result",
        why: "The data path has been shut down, or the work panicked; then the log has the reason.",
        help: "see `umbel tree` and the log of the platform; `umbel up --detach` starts it again",
    }
    733 PROCESS_FOLDER_TAKEN Conflict {
        title: "another host keeps its processes in this folder",
        why: "One host at a time owns the records of its processes; the lock on them is held by a host that runs.",
        help: "stop the other host with `umbel down`, or use another folder: umbel up --state DIR",
    }
    734 PROCESS_GONE NotFound {
        title: "a process cannot be adopted because it is gone",
        why: "No process with the recorded pid, start time and boot exists any more. What it left is cleared away.",
        help: "nothing to do: it is started anew; `umbel ps` shows it",
    }
    735 PROCESS_NAME Invalid {
        title: "not a name for a process",
        why: "The name becomes a file, a folder and a cgroup: 1 to 64 letters, digits, `.`, `_` and `-`, and no `.` at the start.",
        help: "choose another name, e.g. `acme-kv`",
    }
}
