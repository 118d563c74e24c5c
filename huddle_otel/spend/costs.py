"""What the tokens of one call cost at a price. Integers throughout; nothing is rounded here.

* A call with more input than a tier's limit, cached input included, has all its tokens priced at that tier's rates.
* Cached input costs the cache's rate whatever it is. Audio and images are parts of the input that is not cached.
* Audio, images and reasoning are parts of the output. A part that is stated larger than its whole counts as all of it.
* Cached input without a rate is priced as input: for reads an upper bound, for writes the nearest stated price.
* Reasoning without a rate is output; pictures read, without a rate, are input. Vendors that state neither ask as much.
* Audio, and pictures made, cost many times what text does. Without a rate of their own their cost is unknown, and so is
  the call's: text's rate would be no estimate.
"""

from __future__ import annotations

from huddle_otel.spend.price import Price
from huddle_otel.spend.usage import Usage

Costs = tuple[int, int, int, int, int]
"""Exact parts of a cost, in nano-dollars times a million: input, output, cache read, cache write, the call itself."""


def costs_of(usage: Usage, price: Price) -> Costs | None:
    """Price the tokens of a call.

    Args:
        usage: Token counts.
        price: The model's, at the time of the call.

    Returns:
        The parts, which do not overlap; ``None`` when input or output is not stated, or the price lacks a rate that
        nothing can stand for.
    """
    tokens_in, tokens_out = usage.input_tokens, usage.output_tokens
    if tokens_in is None or tokens_out is None:
        return None  # half a bill is not a total
    read = usage.cache_read_tokens or 0
    written = usage.cache_write_tokens or 0
    plain = tokens_in - read - written
    if plain < 0:
        # More cached than input: this answer counts cached tokens beside the input, not inside it.
        plain = tokens_in
    if price.tiers:
        price = price.for_input(plain + read + written)
    rate = price.input
    beyond_text = usage.input_audio_tokens or usage.output_audio_tokens or usage.output_image_tokens
    if price.splits or beyond_text:
        into, out = _input(plain, usage, price), _output(tokens_out, usage, price)
        if into is None or out is None:
            return None
    else:
        into, out = plain * rate, tokens_out * price.output
    rate_read = rate if price.cache_read is None else price.cache_read
    rate_written = rate if price.cache_write is None else price.cache_write
    return into, out, read * rate_read, written * rate_written, price.request * 1_000_000


def _input(plain: int, usage: Usage, price: Price) -> int | None:
    """Price the input that is not cached."""
    audio = min(usage.input_audio_tokens or 0, plain)
    image = min(usage.input_image_tokens or 0, plain - audio)
    if audio and price.input_audio is None:
        return None
    rate_image = price.input if price.input_image is None else price.input_image
    return (plain - audio - image) * price.input + audio * (price.input_audio or 0) + image * rate_image


def _output(tokens: int, usage: Usage, price: Price) -> int | None:
    audio = min(usage.output_audio_tokens or 0, tokens)
    image = min(usage.output_image_tokens or 0, tokens - audio)
    reasoning = min(usage.reasoning_tokens or 0, tokens - audio - image)
    if (audio and price.output_audio is None) or (image and price.output_image is None):
        return None
    rate_reasoning = price.output if price.reasoning is None else price.reasoning
    rest = (tokens - audio - image - reasoning) * price.output + reasoning * rate_reasoning
    return rest + audio * (price.output_audio or 0) + image * (price.output_image or 0)
