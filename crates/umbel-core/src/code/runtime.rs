//! UM04xx: loading, compiling and instantiating wasm.

use super::codes;

codes! {
    401 NOT_WASM Invalid {
        title: "the file is not WebAssembly",
        why: "It does not begin with the WebAssembly magic bytes `\\0asm`.",
        help: "give the path of a component that your build wrote, usually a file that ends with .wasm",
    }
    402 DAMAGED_WASM Invalid {
        title: "the WebAssembly file is damaged",
        why: "Its structure ends early or breaks the rules of the format; a cut-off download looks like this.",
        help: "build or fetch the component again, then compare sizes",
    }
    403 MODULE_NOT_COMPONENT Invalid {
        title: "the file is a core module that cannot be made a component",
        why: "Umbel runs components, and adapts modules of WASI preview 1. Any other core module says nothing of the contracts that it needs and offers.",
        help: "build it for wasm32-wasip1 or wasm32-wasip2, or make it a component: `wasm-tools component new FILE -o OUT`",
    }
    404 ACTOR_MODULE Invalid {
        title: "the file is an actor of wasmCloud before 1.0",
        why: "It imports from `wasmbus` or `wapc`, the actor interface that wasmCloud gave up with version 1.0.",
        help: "rebuild it against the contracts of wasmCloud 1.x (WASI 0.2 components)",
    }
    405 UNSUPPORTED_WORLD Invalid {
        title: "the component exports nothing that Umbel can call",
        why: "A component is called through wasi:http/incoming-handler@0.2, wasi:http/handler@0.3, wasi:cli/run, or a contract of functions that a link leads to.",
        help: "export one of these contracts; `umbel inspect FILE` shows what the component exports now",
    }
    406 UNSATISFIABLE_IMPORT Invalid {
        title: "the component imports something that no link can serve",
        why: "An import is not an interface of functions and resources, or is of a version of WASI that this build does not have.",
        help: "`umbel inspect FILE` shows the imports; rebuild against WASI 0.2 or 0.3.0",
    }
    407 COMPILE_FAILED Invalid {
        title: "the component does not compile",
        why: "The WebAssembly is invalid or uses a proposal that is switched off here.",
        help: "check it with `wasm-tools validate FILE`; the cause says where",
    }
    408 COMPILE_LIMIT Exhausted {
        title: "compiling the component exceeded a limit",
        why: "Compilation runs in a process of its own with limits on memory, CPU, time and the size of the machine code, and this component needs more.",
        help: "build the component smaller, or raise the limits: `umbel up --compile-memory 4GiB --compile-time 300s`",
    }
    409 COMPILE_WORKER Internal {
        title: "the compile process failed",
        why: "The process that compiles components could not be started or ended without an answer. When it was killed, memory was short most often.",
        help: "try again; if it was killed, `journalctl -k -g oom` says whether memory was short: free some, or compile with less by `umbel up --compile-memory 1GiB`; `umbel doctor` checks limits",
    }
    410 CACHE_IO Internal {
        title: "the cache of compiled code cannot be used",
        why: "A file of the cache folder could not be read or written.",
        help: "check space and permissions of the folder that the message names",
    }
    411 ENGINE Internal {
        title: "the wasm engine could not be started",
        why: "The machine refused the address space or a feature that the engine needs.",
        help: "`umbel doctor` checks address space (ulimit -v) and vm.max_map_count",
    }
    412 SMALL_POOL Unavailable {
        title: "the instance pool is smaller than configured",
        why: "Address space is short (ulimit -v, or vm.max_map_count), so fewer instances can run at once, or each is allocated on demand.",
        help: "raise the limit: `ulimit -v unlimited`, `sysctl vm.max_map_count=262144`",
    }
    413 WIT Invalid {
        title: "the interfaces of the component cannot be told as WIT",
        why: "What the file says of its types breaks the rules of WIT, or telling it would take more than 20 s, 1 GiB of memory or 4 MiB of text.",
        help: "check the file with `wasm-tools component wit FILE`; the cause says what is wrong",
    }
}
