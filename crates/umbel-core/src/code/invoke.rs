//! UM058x: calling a function of a component by hand, and what links are refused for.

use super::codes;

codes! {
    580 NO_FUNCTION NotFound {
        title: "the component has no such function",
        why: "A function is named as in WIT: `ns:pkg/iface.function`, or shorter where only one function ends so.",
        help: "`umbel wit COMPONENT` shows what it exports",
    }
    581 AMBIGUOUS_FUNCTION Conflict {
        title: "several functions of the component have that name",
        why: "A name may be shortened as long as only one exported function ends so.",
        help: "write more of the name: `ns:pkg/iface.function`",
    }
    582 BAD_ARGUMENTS Invalid {
        title: "the arguments are not those that the function takes",
        why: "There are too many or too few, or one of them is no value of its type.",
        help: "`umbel wit COMPONENT` shows the types; arguments are WAVE, or JSON with `--json`: `umbel call --help` has examples",
    }
    583 NOT_CALLABLE Invalid {
        title: "the function cannot be called by hand",
        why: "It passes a resource, a stream or a future: these belong to one instance or come piece by piece, and have no form as text.",
        help: "call it from a component over a link; HTTP handlers are called with `curl`",
    }
    584 FUNCTION_FAILED Guest {
        title: "the function returned an error",
        why: "The call itself went well; the function's own `result` is `err`, with the value that was printed.",
        help: "what the error means is the component's to say; `umbel logs APP` may have more",
    }
    585 RESULT_TOO_LARGE Exhausted {
        title: "the result of the call is too large to be shown",
        why: "A result that is printed as text may have 4 MiB of it.",
        help: "call it from a component over a link, or ask for less",
    }
    586 LINK_TO_ITSELF Invalid {
        title: "the link leads to its own source",
        why: "Only a component can call itself: each call gets an instance of its own. A provider, or what does not run, cannot.",
        help: "name another target: `umbel ps` lists components and providers",
    }
    587 LINK_OF_PROVIDERS Invalid {
        title: "the link joins two providers",
        why: "A link joins the import of a component to who serves it, or a provider to the component that it calls.",
        help: "make a component the source or the target: `umbel ps` lists components",
    }
}
