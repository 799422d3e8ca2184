"""``python -m hyperllm`` is ``hyperllm``; so is ``torchrun … -m hyperllm``, once in every process."""

from hyperllm.cli.app import entry

if __name__ == "__main__":
    entry()
