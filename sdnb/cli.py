"""The command `sdnb`: trainings, plans and pictures from a TOML file, the demo, and a look at the
machine.

Every setting of a file may be given anew behind it (`sdnb train lora.toml --rank 4`). The options
and their help are the settings classes' own, by pydantic-settings. Heavy imports wait inside the
commands, so that `sdnb --help` answers at once.
"""

import json
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from urllib.parse import quote, unquote

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, CliApp, CliPositionalArg, CliSubCommand

from sdnb.inference.config import ImageConfig
from sdnb.known_errors import recognised
from sdnb.settings import PlainPaths, Settings
from sdnb.training.config import LoraConfig, TrainConfig, load_config

PROMPTS = ("--prompts", "--preview-prompts")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code. A Problem, and an exception that is known, is printed
    as its sentence alone."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        commands = _commands(_settings_of(arguments))
        CliApp.run(commands, cli_args=_whole_prompts(arguments) or ["--help"])
    except Exception as error:
        problem = recognised(error)
        if problem is None:
            raise
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130  # what a shell expects after Ctrl-C
    except SystemExit as done:  # of --help, and of an option that there is not
        return done.code or 0
    return 0


def _settings_of(arguments: list[str]) -> type[TrainConfig]:
    """The settings class of the file that the command line names: its options are allowed."""
    command, file, *_ = [*arguments, "", ""]
    if command in ("train", "plan") and file and not file.startswith("-"):
        return type(load_config(file))
    return LoraConfig


def _whole_prompts(arguments: list[str]) -> list[str]:
    """pydantic-settings would cut "a man, at the beach" at its comma into two prompts, and take
    "[old] a man" for a list. Several prompts at once are a list as JSON has it. They travel as in
    an address, "%5Bold%5D%20a%20man": of quotes and brackets it would make something else."""
    whole: list[str] = []
    for argument in arguments:
        option, equals, words = argument.partition("=")
        if equals and option in PROMPTS:
            whole += [option, _as_list(words)]
        else:
            whole.append(_as_list(argument) if whole and whole[-1] in PROMPTS else argument)
    return whole


def _as_list(words: str) -> str:
    prompts = [words]
    with suppress(ValueError, RecursionError):
        found = json.loads(words)
        if isinstance(found, list) and all(isinstance(prompt, str) for prompt in found):
            prompts = found
    return json.dumps([quote(prompt, "", errors="surrogateescape") for prompt in prompts])


def _over(start: Settings, said: BaseModel) -> Settings:
    """`start`, and over it those of its settings that the command line says."""
    names = set(type(start).model_fields) & said.model_fields_set
    values = {name: getattr(said, name) for name in names}
    for name in values.keys() & {"prompts", "preview_prompts"}:
        values[name] = [unquote(prompt, errors="surrogateescape") for prompt in values[name]]
    return start.replace(**values)


class _FromFile(PlainPaths):
    config: CliPositionalArg[Path] = Field(description="TOML file of settings")


class Demo(PlainPaths):
    """Train on the sample photos: a grid before and after."""

    out: Path = Field(Path("demo"), description="Folder for the pictures")

    def cli_cmd(self) -> None:
        from sdnb.demo import run_demo

        run_demo(self.out)


class Lab(PlainPaths):
    """Open the course in JupyterLab. Its notebooks are copied into the folder first."""

    folder: CliPositionalArg[Path | None] = Field(None, description="Folder for the notebooks")

    def cli_cmd(self) -> None:
        from sdnb.project import open_course

        open_course(self.folder)


class Generate(ImageConfig):
    """Draw pictures: what to draw is said here, or in a TOML file (--config)."""

    config: Path | None = Field(None, description="TOML file of settings")
    base: str = Field("mini", description="Base model, or the folder that DreamBooth made")
    lora: Path | None = Field(None, description="A trained LoRA, for prompts that call none")
    embedding: Path | None = Field(None, description="A learned word")
    out: Path = Field(Path("pictures"), description="Folder for the pictures")

    def cli_cmd(self) -> None:
        start = ImageConfig.load(self.config) if self.config else ImageConfig()
        config = _over(start, self)
        from sdnb.inference.images import make_image_files

        with redirect_stdout(sys.stderr):  # remarks; only paths go where a script reads them
            paths = make_image_files(self.out, config, self.base, self.lora, self.embedding)
        for path in paths:
            print(path)


class Doctor(PlainPaths):
    """Can this machine run the course? What is missing?"""

    base: CliPositionalArg[str | None] = Field(None, description="Base model for your own photos")
    as_json: Path | None = Field(
        None, alias="json", description="Write what was found to this file, or into this folder"
    )

    def cli_cmd(self) -> None:
        from sdnb.doctor import check_machine, report, write_findings

        findings = check_machine(self.base)
        print(report(findings))
        if self.as_json:
            print(write_findings(findings, self.as_json))
        if any(finding.missing for finding in findings):
            raise SystemExit(1)


class Runs(BaseModel):
    """The project's finished trainings, the newest last: whom or what, how large, and where."""

    def cli_cmd(self) -> None:
        from sdnb.project import Project
        from sdnb.training.run_folder import finished_runs

        folder = Project().folder / "runs"
        runs = finished_runs(folder)
        for run in runs:
            about = f"{run.config.trigger} ({run.config.class_word}), steps: {len(run.history)}"
            print(f"{run.name}: {about}\n  {run}")
        if not runs:
            print(f"No training yet in {folder.absolute()}, or none that is finished.")


class Glossary(BaseModel):
    """All settings explained, as Markdown."""

    def cli_cmd(self) -> None:
        from sdnb.notebook.glossary import glossary

        print(glossary())


class Class(PlainPaths):
    """The reports of a whole class in one table, a study of the setting that differs.

    Reads every .json below FOLDER: the reports that notebook 08 wrote, and the files of `sdnb
    doctor --json`, of which it prints a line for each machine. Writes class.csv and class.html.
    """

    folder: CliPositionalArg[Path] = Field(description="Folder with the learners' .json files")
    by: str | None = Field(
        None, description="Setting to compare the scores by; by default the one that varies most"
    )
    out: Path | None = Field(None, description="Folder for the two files; by default FOLDER")

    def cli_cmd(self) -> None:
        from sdnb.evaluation import read_reports, write_class

        room = read_reports(self.folder)
        for remark in room.remarks:
            print(remark, file=sys.stderr)
        if room.machines:
            print("\n".join(room.machines))
        if room.reports or not room.machines:
            print(write_class(room, self.out or self.folder, self.by))


def _commands(settings: type[TrainConfig]) -> type[BaseSettings]:
    """The commands; `train` and `plan` with the options of one method."""

    class Train(_FromFile, settings):
        def cli_cmd(self) -> None:
            config = _over(load_config(self.config), self)
            from sdnb.machine import find_rank  # torch comes in here: a slip is told before
            from sdnb.training.loop import leave
            from sdnb.training.run import train

            run = train(config)
            if find_rank() == 0:
                print(run)
            leave()

    class Plan(_FromFile, settings):
        def cli_cmd(self) -> None:
            config = _over(load_config(self.config), self)
            from sdnb.training.run import estimate

            print(estimate(config))

    options = f"The options are {settings.__name__}'s; name a file to see its method's."
    Train.__doc__ = f"Train with the settings of a TOML file. {options}"
    Plan.__doc__ = f"What a training will take: minutes, memory, disk. {options}"

    flags = dict.fromkeys(("cli_kebab_case", "cli_implicit_flags", "cli_hide_none_type"), True)

    class Commands(BaseSettings):
        """Personalise Stable Diffusion."""

        model_config = BaseSettings.model_config | {"cli_prog_name": "sdnb", **flags}
        demo: CliSubCommand[Demo] = Field(description="train on the sample photos")
        lab: CliSubCommand[Lab] = Field(description="open the course in JupyterLab")
        train: CliSubCommand[Train] = Field(description="train with the settings of a TOML file")
        plan: CliSubCommand[Plan] = Field(description="what a training will take")
        generate: CliSubCommand[Generate] = Field(description="draw pictures")
        doctor: CliSubCommand[Doctor] = Field(description="can this machine run the course?")
        classroom: CliSubCommand[Class] = Field(
            alias="class", description="the reports of many learners in one table"
        )
        runs: CliSubCommand[Runs] = Field(description="the finished trainings")
        glossary: CliSubCommand[Glossary] = Field(description="all settings explained")

        def cli_cmd(self) -> None:
            CliApp.run_subcommand(self)

    return Commands
