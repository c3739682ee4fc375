//! UM114x to UM115x: messages between components.

use super::codes;

codes! {
    1140 MESSAGING_CONFIG Invalid {
        title: "the config of the messaging provider or of its link is wrong",
        why: "Keys and values are checked when the provider starts or the link is made, so that a slip does not become a subscription that never hears.",
        help: "known keys are `subscriptions` (a comma list of `subject` or `subject|queue`), `space`, `message_bytes_max`, `request_timeout_ms`, `handle_timeout_ms`, `concurrency`, `queue_messages_max`, `queue_bytes_max`",
    }
    1141 MESSAGING_SUBJECT Invalid {
        title: "the subject is not well-formed",
        why: "A subject is one or more words joined by dots. Words hold no spaces, control characters, `*` or `>`; only a subscription may have `*` for one word and `>` for all that follow.",
        help: "write e.g. `orders.new` to publish, and `orders.*` or `orders.>` to subscribe",
    }
    1142 MESSAGING_TOO_LARGE Invalid {
        title: "the message is larger than this provider takes",
        why: "A message waits in memory until its subscribers have read it, so its size is limited: body, content type and metadata together.",
        help: "send less (put the bytes in a blobstore and send their name), or raise `message_bytes_max` in the provider's config",
    }
    1143 MESSAGING_NO_SUBSCRIBER Unavailable {
        title: "nobody subscribes to the subject of the request",
        why: "A request needs somebody who answers. Subscriptions come from links of the provider to components, and belong to one application unless its links name a common `space`.",
        help: "`umbel link list` shows the links; one from the provider to a component needs `subscriptions` that match the subject",
    }
    1144 MESSAGING_NO_REPLY Timeout {
        title: "no reply came in time",
        why: "A subscriber was given the request, and did not publish to its `reply-to` before the deadline.",
        help: "`umbel logs APP` shows what the subscriber did; or give the request more time",
    }
    1145 MESSAGING_QUEUES_FULL Exhausted {
        title: "every subscriber of the subject has a full queue",
        why: "Subscribers are slower than what is sent to them. A message that nobody has room for is refused, so that the sender can slow down.",
        help: "send slower, or raise `concurrency` or `queue_messages_max` in the config of the subscriber's link",
    }
    1146 MESSAGING_LIMIT Exhausted {
        title: "a limit of the messaging provider is reached",
        why: "Subscriptions, requests that wait for a reply, and the bytes of messages that a component holds are limited, so that one component cannot use up the machine.",
        help: "the message names the limit; drop messages and end requests that are no longer needed",
    }
    1147 MESSAGING_LINK_CONTRACT Invalid {
        title: "the messaging provider does not carry this contract",
        why: "Components call it by `consumer` of wasmcloud:messaging, or `producer` and `request-reply` of wasi:messaging; it calls their `handler` or `incoming-handler`.",
        help: "write `namespace: wasmcloud`, `package: messaging`, `interfaces: [consumer]` in a component's link, and `[handler]` in the provider's link",
    }
    1148 MESSAGING_DISCONNECTED Invalid {
        title: "the client is disconnected",
        why: "The component called `disconnect` on the client, and used it again.",
        help: "connect again: `client.connect`",
    }
    1149 MESSAGING_NOT_DELIVERED Unavailable {
        title: "a message could not be handed to its subscriber",
        why: "The component of the subscription is not running, does not export the handler that the link names, or failed. Messages are delivered at most once.",
        help: "`umbel ps` shows the component's state; `umbel inspect` shows its exports",
    }
    1150 MESSAGING_HANDLER_ERROR Guest {
        title: "the subscriber answered a message with an error",
        why: "The component's handler returned an error for the message. It is not delivered again.",
        help: "the message has the component's words; `umbel logs APP` may say more",
    }
    1151 MESSAGING_HANDLER_TIMEOUT Timeout {
        title: "the subscriber did not finish with a message in time",
        why: "A delivery has a deadline, so that a handler that never answers does not hold up the messages behind it.",
        help: "raise `handle_timeout_ms` in the config of the subscriber's link, or find what the handler waits for",
    }
    1152 MESSAGING_MISSED Exhausted {
        title: "a subscriber missed messages",
        why: "More was published than the subscriber handles, and its queue was full. The messages that did not fit were dropped for this subscriber alone.",
        help: "raise `concurrency` or `queue_messages_max` in the config of the subscriber's link, or publish slower",
    }
    1153 MESSAGING_STOPPED Unavailable {
        title: "the messaging provider is stopping",
        why: "It hands out what waits in its queues and takes nothing new.",
        help: "start it again, e.g. by `umbel deploy`",
    }
    1154 MESSAGING_UNCONNECTED Unavailable {
        title: "there is no connection to the message server",
        why: "The NATS server is not there, refuses user or password, or the network to it is broken. It is tried again all the time; what is sent meanwhile is refused.",
        help: "check that the server runs and that `cluster_uris` in the config leads to it; the host's log has what the connection failed with",
    }
}
