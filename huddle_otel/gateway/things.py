"""Things that are kept and looked at, without a model at work: files, batches, vector stores, stored chats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from huddle_otel.gateway.kinds import Reply
from huddle_otel.gateway.loose import Json
from huddle_otel.gateway.serving import Asked, Served, json_of, listed, missing

if TYPE_CHECKING:
    from collections.abc import Callable

_PREFIX: Final = {"files": "file-", "batches": "batch_", "vector_stores": "vs_"}
_DONE: Final[Json] = {"input_tokens": 1000, "output_tokens": 500, "total_tokens": 1500}
"""What a batch says it used: billed by its own lines and at a price of its own."""


def create(asked: Asked) -> Served:
    """A POST to a collection."""
    kind = asked.parts[0]
    key = f"{_PREFIX[kind]}{asked.number:08d}"
    made: Json = {"id": key, "created_at": asked.now}
    if kind == "files":
        content: bytes = asked.body.get("file") or b""
        asked.store.put(f"content {key}", content)
        purpose = asked.body.get("purpose")
        details = {"bytes": len(content), "filename": "lines.jsonl", "purpose": purpose, "status": "processed"}
        made |= {"object": "file", **details}
    elif kind == "batches":
        times = {"input_file_id": asked.body.get("input_file_id"), "completion_window": "24h"}
        made |= {"object": "batch", "endpoint": "/v1/chat/completions", "status": "validating", "errors": None, **times}
    else:
        counts = dict.fromkeys(("in_progress", "completed", "failed", "cancelled", "total"), 0)
        made |= {"object": "vector_store", "name": asked.body.get("name"), "usage_bytes": 0, "status": "completed"}
        made |= {"file_counts": counts, "metadata": {}, "last_active_at": asked.now}
    asked.store.put(key, made)
    return json_of(made)


def list_all(asked: Asked) -> Served:
    """A GET of a collection."""
    return listed(asked.store.all(_PREFIX[asked.parts[0]]))


def retrieve(asked: Asked) -> Served | Reply:
    """A GET of one thing; a batch is complete at the first look."""
    made = asked.store.get(asked.parts[1])
    if made is None:
        return missing(asked.parts[1])
    if asked.parts[0] == "batches":
        made |= {"status": "completed", "model": "gpt-4.1", "usage": _DONE}
    return json_of(made)


def content(asked: Asked) -> Served | Reply:
    """`GET /files/{id}/content`."""
    kept = asked.store.get(f"content {asked.parts[1]}")
    return missing(asked.parts[1]) if kept is None else Served(body=kept, content_type="application/octet-stream")


def delete(asked: Asked) -> Served | Reply:
    """A DELETE of one thing."""
    made = asked.store.drop(asked.parts[1])
    if made is None:
        return missing(asked.parts[1])
    return json_of({"id": asked.parts[1], "object": f"{made['object']}.deleted", "deleted": True})


def cancel(asked: Asked) -> Served | Reply:
    """`POST /batches/{id}/cancel`."""
    made = asked.store.get(asked.parts[1])
    return missing(asked.parts[1]) if made is None else json_of({**made, "status": "cancelling"})


def search(asked: Asked) -> Served | Reply:
    """`POST /vector_stores/{id}/search`: finds nothing."""
    if asked.store.get(asked.parts[1]) is None:
        return missing(asked.parts[1])
    query = asked.body.get("query")
    page: Json = {"object": "vector_store.search_results.page", "search_query": [query], "data": []}
    return json_of({**page, "has_more": False, "next_page": None})


HANDLERS: Final[dict[tuple[str, ...], Callable[[Asked], Served | Reply]]] = {
    **{("POST", kind): create for kind in _PREFIX},
    **{("GET", kind): list_all for kind in _PREFIX},
    **{("GET", kind, "*"): retrieve for kind in _PREFIX},
    **{("DELETE", kind, "*"): delete for kind in _PREFIX},
    ("GET", "files", "*", "content"): content,
    ("POST", "batches", "*", "cancel"): cancel,
    ("POST", "vector_stores", "*", "search"): search,
}
