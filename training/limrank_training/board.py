"""What is logged, for TensorBoard: the run's own folder of events, where TensorBoard is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from limrank_plugins.errors import require

BOARD = "tensorboard"


def board(folder: Path) -> Any:
    """The library's callback, which writes into this folder; None where TensorBoard is not installed.

    A run that goes on hides what was logged after its checkpoint, as it will log that again.

    Args:
        folder: for event files; each start of the run adds one.
    """
    if find_spec("tensorboard") is None:
        return None
    integrations: Any = require("transformers.integrations", "training", "training")
    writer: Any = require("torch.utils.tensorboard", "training", "TensorBoard").SummaryWriter

    class BoardCallback(integrations.TensorBoardCallback):  # type: ignore[misc]  # the library is not typed here
        """Left to itself it writes into a new folder below the checkpoints at every start."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **named: Any) -> None:
            if state.is_world_process_zero:
                self.tb_writer = writer(str(folder), purge_step=state.global_step + 1)
            super().on_train_begin(args, state, control, **named)

    return BoardCallback()
