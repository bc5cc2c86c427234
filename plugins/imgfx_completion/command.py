"""The command `completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from imgfx.errors import ImgfxError


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish")
def completion(shell: str) -> None:
    """Print the script that completes imgfx's command lines.

    Completed are stages, commands, their options and values, models, engines and files. No plugin
    is imported for it.

    \b
    Examples:
      imgfx completion bash > ~/.local/share/bash-completion/completions/imgfx
      imgfx completion zsh > ~/.zfunc/_imgfx    # and fpath+=~/.zfunc in ~/.zshrc, before compinit
      imgfx completion fish > ~/.config/fish/completions/imgfx.fish
    """
    known = get_completion_class(shell)
    assert known is not None, "Click has these three"
    try:
        script = known(click.Command("imgfx"), {}, "imgfx", "_IMGFX_COMPLETE").source()
    except RuntimeError as error:  # of bash before 4.4
        raise ImgfxError(f"completion {shell}: {error}") from error
    click.echo(script)
