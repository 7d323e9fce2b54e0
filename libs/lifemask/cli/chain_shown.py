"""An audit as a tree on a terminal: what holds folded, what does not in full."""

from typing import Final

from rich.text import Text
from rich.tree import Tree

from lifemask.audit.findings import Finding, Report, State
from lifemask.contracts.keyring import Keyring

_FOLDED: Final = frozenset({State.REHASHED, State.AGREES, State.DISPOSED, State.UNSEEN})
"""Under a heading, findings of one such state are counted; what is broken is shown one by one."""
_LOOKS: Final = {
    State.REHASHED: ("✓", "green"),
    State.AGREES: ("✓", "green"),
    State.DISPOSED: ("○", "cyan"),
    State.TOLD: ("·", "dim"),
    State.UNSEEN: ("?", "yellow"),
    State.BROKEN: ("✗", "bold red"),
}


def report_tree(report: Report) -> Tree:
    """The whole report."""
    tree = Tree(
        Text.assemble(("model ", "dim"), report.model, ("  of ", "dim"), report.user, ("  run ", "dim"), report.run)
    )
    for finding in report.findings:
        _add(tree, finding)
    return tree


def verdict(report: Report, keyring: Keyring) -> Text:
    """The end of the audit in a sentence."""
    root = f"keyring {keyring.version} of root {keyring.root}"
    if report.broken:
        return Text(f"\n✗ {len(report.broken)} findings do not hold ({root})", style="bold red")
    unseen = f"; {len(report.unseen)} could not be looked at" if report.unseen else ""
    return Text(f"\n✓ nothing is broken ({root}){unseen}", style="green")


def _add(tree: Tree, finding: Finding) -> None:
    branch = tree.add(_line(finding))
    is_heading = finding.who is None and bool(finding.below)
    if is_heading and len({(one.state, one.why) for one in finding.below}) == 1 and finding.state in _FOLDED:
        return
    for one in finding.below:
        if not (is_heading and finding.state is State.BROKEN and one.state in _FOLDED):
            _add(branch, one)


def _line(finding: Finding) -> Text:
    mark, style = _LOOKS[finding.state]
    line = Text.assemble((f"{mark} ", style), (finding.name, "bold"), "  ", (finding.state.value, style))
    if finding.at:
        line.append(f" {finding.at:%Y-%m-%d %H:%M:%S}", "dim")
    if finding.who:
        line.append(f"  by {finding.who} ({(finding.keyid or '')[:19]}…)", "cyan")
    for text in filter(None, (finding.what, finding.why)):
        line.append(f"  {text}", "red" if text == finding.why and finding.state is State.BROKEN else "dim")
    if finding.state is State.BROKEN and (finding.expected or finding.found):
        line.append(f"\n  expected {finding.expected or 'nothing'}\n  found    {finding.found or 'nothing'}", "red")
    return line
