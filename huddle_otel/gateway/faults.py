"""Everything that can go wrong with an answer, as data: what a rule asks for and the gateway plays on a real socket.

    Fault
    ├── Reply                       another answer instead of the good one
    │   ├── status                  any status with its usual body
    │   ├── bad_gateway             502, an HTML page
    │   ├── overloaded              529
    │   ├── rate_limited            429 of the upstream, with or without a hint
    │   ├── key_rate_limited        429 of the gateway's own key limit
    │   ├── cooldown                429, every deployment is cooling down
    │   ├── insufficient_quota      429, the upstream account has no money left
    │   ├── budget_exceeded         422, the key has no money left
    │   ├── context_window          400, prompt too long
    │   ├── content_policy          400, content filter
    │   ├── upstream_key_bad        401, the gateway's own upstream key, not the caller's
    │   ├── expired_key             401
    │   ├── model_denied            403
    │   ├── upstream_timeout        408
    │   ├── unparsable_body         200, the body is not JSON
    │   └── redirect                307 or 302
    ├── Silence                     no byte of an answer
    │   ├── hang                    never answers
    │   └── reset_before_first_byte
    └── Shape                       the good answer, bent on its way out
        ├── good                    nothing bent, extra headers at most
        ├── slow_headers            late status line
        ├── slow_success            early status line, late content
        ├── slow_drip               late chunks
        ├── pings                   comments before the first content
        ├── reset_after_headers     RST before the first event
        ├── reset                   RST after k chunks
        ├── cut                     FIN after k chunks
        ├── cut_in_chunk            FIN inside the JSON of a chunk
        ├── half_close              FIN after k chunks, the socket stays open for reading
        ├── truncated_body          Content-Length promises more than arrives
        ├── malformed_chunk         one event is not JSON
        ├── error_frame             the stream ends in an error event
        ├── failed_response         the answer of the Responses API says that it failed
        ├── fake_finish             a dead upstream dressed up as a complete answer
        ├── stall                   silence after k chunks
        ├── role_only               silence after the role chunk
        ├── ping_forever            only comments after k chunks
        ├── empty_deltas            only empty deltas after k chunks
        ├── no_done                 `finish_reason` but no `[DONE]`
        └── no_finish               `[DONE]` but no `finish_reason`

`after` counts content chunks that arrive before the fault; a stream with fewer has all of them. On a plain answer
(not streamed) `reset`, `cut`, `half_close` and `stall` act after half of the body; the other endings need a stream and
leave a plain answer good. The bodies are those measured on LiteLLM 1.106; a gateway with the `openai` persona gives the
same error the way OpenAI words it.
"""

from huddle_otel.gateway.kinds import FOREVER, Fault, Reply, Shape, Silence
from huddle_otel.gateway.replies import (
    KEY_HASH,
    bad_gateway,
    budget_exceeded,
    content_policy,
    context_window,
    cooldown,
    expired_key,
    insufficient_quota,
    key_rate_limited,
    model_denied,
    overloaded,
    rate_limited,
    redirect,
    status,
    unparsable_body,
    upstream_key_bad,
    upstream_timeout,
)
from huddle_otel.gateway.shapes import (
    cut,
    cut_in_chunk,
    empty_deltas,
    error_frame,
    failed_response,
    fake_finish,
    good,
    half_close,
    hang,
    malformed_chunk,
    no_done,
    no_finish,
    ping_forever,
    pings,
    reset,
    reset_after_headers,
    reset_before_first_byte,
    role_only,
    slow_drip,
    slow_headers,
    slow_success,
    stall,
    truncated_body,
)

__all__ = [
    "FOREVER",
    "KEY_HASH",
    "Fault",
    "Reply",
    "Shape",
    "Silence",
    "bad_gateway",
    "budget_exceeded",
    "content_policy",
    "context_window",
    "cooldown",
    "cut",
    "cut_in_chunk",
    "empty_deltas",
    "error_frame",
    "expired_key",
    "failed_response",
    "fake_finish",
    "good",
    "half_close",
    "hang",
    "insufficient_quota",
    "key_rate_limited",
    "malformed_chunk",
    "model_denied",
    "no_done",
    "no_finish",
    "overloaded",
    "ping_forever",
    "pings",
    "rate_limited",
    "redirect",
    "reset",
    "reset_after_headers",
    "reset_before_first_byte",
    "role_only",
    "slow_drip",
    "slow_headers",
    "slow_success",
    "stall",
    "status",
    "truncated_body",
    "unparsable_body",
    "upstream_key_bad",
    "upstream_timeout",
]
