# SPDX-License-Identifier: BSD-3-Clause
"""Completion scripts: commands, losses and their options, written out once, so that no key press starts Python."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

from .bench import bench_parser
from .losses import find_losses
from .parsing import SHELLS, loss_parser

COMMANDS = ("bench", "completion", "eval", "info")


def completion_script(shell: str) -> str:
    """The script that `shell` shall read."""
    losses = find_losses()
    options = {name: flags(loss_parser(loss)) for name, loss in losses.items()}
    writers: Mapping[str, Callable[[Mapping[str, Sequence[str]]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
    return writers[shell](options)


def flags(parser: argparse.ArgumentParser) -> list[str]:
    return sorted(word for action in parser._actions for word in action.option_strings if word.startswith("--"))


def cases(options: Mapping[str, Sequence[str]]) -> str:
    """Branches of a shell's `case`: the options that all losses share, then each loss's own."""
    common = shared(options)
    own = {name: [word for word in words if word not in common] for name, words in options.items()}
    return "\n".join(f"        {name}) own='{' '.join(words)}' ;;" for name, words in own.items())


def shared(options: Mapping[str, Sequence[str]]) -> list[str]:
    """The options of every loss."""
    return sorted(set.intersection(*map(set, options.values())))


def bash(options: Mapping[str, Sequence[str]]) -> str:
    return f"""# fastloss completion for bash: source <(fastloss completion bash)
_fastloss() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} own=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W '{" ".join(COMMANDS)} --help --version' -- "$word"))
    elif [ "${{COMP_WORDS[1]}}" = completion ]; then
        [ "$COMP_CWORD" -eq 2 ] && COMPREPLY=($(compgen -W '{" ".join(SHELLS)}' -- "$word"))
    elif [ "${{COMP_WORDS[1]}}" = bench ]; then
        [[ $word == -* ]] && COMPREPLY=($(compgen -W '{" ".join(flags(bench_parser()))}' -- "$word"))
    elif [ "${{COMP_WORDS[1]}}" != eval ]; then
        :
    elif [ "$COMP_CWORD" -eq 2 ]; then
        COMPREPLY=($(compgen -W '{" ".join(options)} --help' -- "$word"))
    elif [ "$before" = --reduction ]; then
        COMPREPLY=($(compgen -W 'mean sum' -- "$word"))
    elif [[ $word == -* ]]; then
        case ${{COMP_WORDS[2]}} in
{cases(options)}
        *) return ;;
        esac
        COMPREPLY=($(compgen -W '{" ".join(shared(options))} '"$own" -- "$word"))
    fi
}}
complete -o default -F _fastloss fastloss
"""


def zsh(options: Mapping[str, Sequence[str]]) -> str:
    return f"""#compdef fastloss
# fastloss completion for zsh: source <(fastloss completion zsh), after compinit
_fastloss() {{
    local own=
    if (( CURRENT == 2 )); then
        compadd -- {" ".join(COMMANDS)} --help --version
    elif [[ $words[2] == completion ]]; then
        (( CURRENT == 3 )) && compadd -- {" ".join(SHELLS)}
    elif [[ $words[2] == bench && $words[CURRENT] == -* ]]; then
        compadd -- {" ".join(flags(bench_parser()))}
    elif [[ $words[2] != eval ]]; then
        return 1
    elif (( CURRENT == 3 )); then
        compadd -- {" ".join(options)} --help
    elif [[ $words[CURRENT-1] == --reduction ]]; then
        compadd -- mean sum
    elif [[ $words[CURRENT] == -* ]]; then
        case $words[3] in
{cases(options)}
        *) return 1 ;;
        esac
        compadd -- {" ".join(shared(options))} ${{=own}}
    else
        _files
    fi
}}
compdef _fastloss fastloss
"""


def fish(options: Mapping[str, Sequence[str]]) -> str:
    common = shared(options)
    lines = [
        "# fastloss completion for fish: fastloss completion fish | source",
        "complete -c fastloss -n __fish_use_subcommand -f -l help",
        "complete -c fastloss -n __fish_use_subcommand -f -l version",
        f"complete -c fastloss -n __fish_use_subcommand -f -a '{' '.join(COMMANDS)}'",
        f"complete -c fastloss -n '__fish_seen_subcommand_from completion' -f -a '{' '.join(SHELLS)}'",
        "function __fastloss_needs_loss",
        "    set -l words (commandline -opc)",
        "    test (count $words) -eq 2; and test $words[2] = eval",
        "end",
        "function __fastloss_has_loss",
        "    set -l words (commandline -opc)",
        "    test (count $words) -ge 3; and test $words[2] = eval; or return 1",
        '    test -z "$argv"; or contains -- $words[3] $argv',
        "end",
        f"complete -c fastloss -n __fastloss_needs_loss -f -a '{' '.join(options)}'",
    ]
    lines += [f"complete -c fastloss -n '__fish_seen_subcommand_from bench' -l {w[2:]}" for w in flags(bench_parser())]
    lines += [fish_option(word, []) for word in common]
    own = sorted({word for words in options.values() for word in words} - set(common))
    lines += [fish_option(word, [name for name, words in options.items() if word in words]) for word in own]
    return "\n".join(lines) + "\n"


def fish_option(word: str, losses: Sequence[str]) -> str:
    """An option of these losses; of all, if there are none."""
    values = " -x -a 'mean sum'" if word == "--reduction" else ""
    return f"complete -c fastloss -n '{' '.join(['__fastloss_has_loss', *losses])}' -l {word[2:]}{values}"
