"""The command `sdnb`: the demo, a training from a TOML file, and a look at the machine.

Heavy imports wait inside the commands, so that `sdnb --help` answers at once.
"""

import argparse
import sys
import tomllib
from pathlib import Path

from sdnb.problems import Problem


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code. A Problem is printed as its sentence alone."""
    args = _parser().parse_args(argv)
    try:
        return args.command(args) or 0
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130  # what a shell expects after Ctrl-C


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sdnb", description="Personalise Stable Diffusion.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="train on the sample photos: a grid before and after")
    demo.add_argument("--out", type=Path, default=Path("demo"), metavar="FOLDER")
    demo.set_defaults(command=_demo)

    train = commands.add_parser("train", help="train with the settings of a TOML file")
    train.add_argument("config", type=Path, metavar="CONFIG.toml")
    train.add_argument(
        "--set",
        dest="changes",
        type=_setting,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting of the file; may be repeated",
    )
    train.set_defaults(command=_train)

    doctor = commands.add_parser("doctor", help="can this machine run the course? What is missing?")
    doctor.add_argument("base", nargs="?", metavar="BASE", help="base model for your own photos")
    doctor.set_defaults(command=_doctor)
    return parser


def _setting(text: str) -> tuple[str, object]:
    """`rank=8` as ("rank", 8): the value is read as TOML, or is plain text where it is no TOML."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def _demo(args: argparse.Namespace) -> None:
    from sdnb.demo import run_demo

    run_demo(args.out)


def _train(args: argparse.Namespace) -> None:
    from sdnb.config import load_config

    config = load_config(args.config).replace(**dict(args.changes))
    from sdnb.run import train  # torch comes in here: a slip in the settings is told before

    print(train(config))


def _doctor(args: argparse.Namespace) -> int:
    from sdnb.doctor import examine, healthy, report

    findings = examine(args.base)
    print(report(findings))
    return 0 if healthy(findings) else 1
