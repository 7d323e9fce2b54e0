"""`lifemask`: the command, its subcommands, and the promise that no traceback is shown to a person."""

import gc

import typer

from lifemask.cli.audit import audit
from lifemask.cli.dead_letters import dead_letters
from lifemask.cli.demo import demo
from lifemask.cli.doctor import doctor
from lifemask.cli.events import events, listen
from lifemask.cli.keys import keys
from lifemask.cli.migrate import migrate
from lifemask.cli.notifications import notifications
from lifemask.cli.prepare import prepare
from lifemask.cli.revoke import revoke
from lifemask.cli.runs import run, runs
from lifemask.cli.train import train
from lifemask.cli.training_orders import training
from lifemask.cli.up import up

app = typer.Typer(
    help="Turns one person's photos into that person's own published LoRA model, provably.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 the run or the check failed, 2 wrong usage, 3 a service or setting is missing.",
)
for command in (up, demo, train, runs, run, audit, doctor, revoke, events, listen, migrate, prepare):
    app.command()(command)
app.add_typer(keys, name="keys")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(training, name="training")
app.add_typer(notifications, name="notifications")


def main() -> None:
    """The entry point of the console script."""
    gc.freeze()  # what is loaded stays: collecting it at the end would take longer than many a command
    app(prog_name="lifemask")


if __name__ == "__main__":
    main()
