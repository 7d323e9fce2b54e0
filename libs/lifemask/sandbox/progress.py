"""The trainer's log as the real one writes it: some sentences, then one bar redrawn with carriage returns."""

import hashlib
from collections.abc import Iterator

from lifemask.sandbox.training import Training, fraction_done, status_of, steps_done

_LINES = 50  # a redraw each 2 percent keeps the log small, however many steps there are
_BAR = 10
_EIGHTHS = " ▏▎▍▌▋▊▉"


def log_of(training: Training, now: float) -> str:
    """All that has been logged until `now`; it only grows."""
    if training.archive is None:
        return ""
    images = len(training.archive.captions)
    head = f"Extracted {images} files from zip to input_images\nTraining for {training.steps} steps\n"
    if status_of(training, now) == "aborted" or fraction_done(training, now) <= 0:
        return head
    return head + "\r".join(_bars(training, steps_done(training, now)))


def _bars(training: Training, done: int) -> Iterator[str]:
    """The bar at each stride and at the last step: what has been logged stays as it is."""
    stride = max(1, training.steps // _LINES)
    for step in range(0, done + 1, stride):
        yield _bar(training, step)
    if done == training.steps and done % stride:
        yield _bar(training, done)


def _bar(training: Training, step: int) -> str:
    share = step / training.steps
    full, rest = divmod(int(share * _BAR * 8), 8)
    bar = ("█" * full + (_EIGHTHS[rest] if full < _BAR else "")).ljust(_BAR)
    left = training.steps - step
    loss = int.from_bytes(hashlib.sha256(f"{training.id}{step}".encode()).digest()[:2]) / 65536
    return (
        f"flux_train_replicate: {int(share * 100):3d}%|{bar}| {step}/{training.steps} "
        f"[{_clock(step)}<{_clock(left)},  1.47it/s, lr: {training.input.get('learning_rate', 4e-4):.1e} "
        f"loss: {0.2 + loss / 2:.3e}]"
    )


def _clock(steps: int) -> str:
    seconds = round(steps / 1.47)
    return f"{seconds // 60:02d}:{seconds % 60:02d}"
