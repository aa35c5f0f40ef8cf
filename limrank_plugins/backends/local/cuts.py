"""How much of its documents a request to a language model on this machine would leave out."""

from __future__ import annotations

from limrank_plugins.backends.local.continuous_batch import budget_and_room
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.local.requests import encode_to_fit
from limrank_plugins.backends.protocols import Generate, Likelihood, ReadLabels, Request
from limrank_plugins.segments import Segment


def tokens_cut(encoder: PromptEncoder, request: Request, length: int, reading: int | None = None) -> int:
    """The tokens that are left out; 0 for a request without a prompt.

    Args:
        encoder: of the model's prompts.
        request: to be asked.
        length: the most tokens of a prompt and what is written behind it.
        reading: the most of a prompt whose labels are read; default: the same.

    Raises:
        InputError: it does not fit without any document text.
    """
    room = length if reading is None else reading
    match request:
        case Generate():
            room, prompt = budget_and_room(request, length)[1], request.prompt
        case Likelihood():
            prompt = request.prompt.then(Segment(request.continuation, trusted=False))
        case ReadLabels():
            prompt = request.prompt
        case _:
            return 0
    return encode_to_fit(encoder, prompt, room)[2]
