"""Pretrain the pocket network: `python -m advisor_pocket.pretrain --to DIR [--shared DIR] [--hours H | --steps N]`.

Needs the project's shared data folder (archives, unpack.py, torch_home); found by --shared, else TL_ADVISE_SHARED, else
../shared/data. Everything big goes to DIR: unpacked data, shards of views, checkpoint, log, pocket.safetensors. Killed
and started again it goes on.

The run that made the weights in this package (more of it in README.md):
- seed 0; data as in `training/views.SOURCES` (five_flowers, flowers102 train + val, pacs/photo, cifar10/train) and
  `training/generated.py`: 50,000 views in five shards; teachers MobileNetV2 and SqueezeNet 1.1 at 144 px;
- schedule: batch 128, AdamW 2e-3, decay 0.05, 2 % warm-up, flat, half cosine from 50 % on; 64 px, from 40 % on 80 px,
  from 75 % on 96 px; 4,793 steps = 613,504 views;
- wall-clock: 1 h 39 min, shards built meanwhile for the first half hour; hardware: two cores of an AMD EPYC (Zen 5,
  bfloat16) that four to ten other busy processes shared, so that 50 to 200 views/s were trained on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

DATA_SETS = ("five_flowers", "flowers102", "cifar10", "pacs")  # of flowers102 train and val, of pacs the photos only


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m advisor_pocket.pretrain", description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder for everything that is made")
    default = Path(os.environ.get("TL_ADVISE_SHARED", "../shared/data"))
    parser.add_argument("--shared", type=Path, default=default, metavar="DIR", help="the shared data folder")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where data sets lie unpacked (default: DIR/data)")
    parser.add_argument("--hours", type=float, default=1.5, help="time to train (default 1.5), shards included")
    parser.add_argument("--steps", type=int, default=0, help="train this many steps instead (repeatable)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=3, help="processes that share each batch (default 3)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Unpack what is missing, then train to the end."""
    args = arguments(argv)
    args.to.mkdir(parents=True, exist_ok=True)
    if args.data is None:
        args.data = args.to / "data"
        subprocess.run([sys.executable, args.shared / "unpack.py", *DATA_SETS, "--to", args.data], check=True)
    meeting = args.to / "meeting"
    meeting.unlink(missing_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    from torch.multiprocessing.spawn import spawn

    spawn(work, args=(args, meeting.resolve().as_uri()), nprocs=args.processes + 1)  # type: ignore[no-untyped-call]
    return 0


def work(rank: int, args: argparse.Namespace, meeting: str) -> None:
    """Be one of the processes that train or, as the last of them, the one that builds shards for them."""
    import torch

    from advisor_pocket.training.loop import Plan, Run, Team

    torch.set_num_threads(1)
    plan = Plan(seed=args.seed, steps=args.steps, seconds=args.hours * 3600)
    if rank == args.processes:
        build_shards(args, plan.shards)
        return
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=args.processes)

    def log(text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        with (args.to / "log.txt").open("a") as file:
            file.write(line + "\n")

    run = Run(args.to, plan, Team(rank, args.processes))
    if rank == 0:
        log(f"start at step {run.step} with {plan}")
    run.train(log)
    torch.distributed.destroy_process_group()


def build_shards(args: argparse.Namespace, count: int) -> None:
    """Render views and ask the teachers, shard by shard, in order."""
    from advisor_pocket.training import shards, views
    from advisor_pocket.training.teachers import Teachers

    photos = views.photographs(args.data)
    teachers = Teachers(args.shared / "torch_home" / "hub" / "checkpoints")
    for index in range(count):
        shards.build(args.to / "shards", args.seed, index, photos, teachers)


if __name__ == "__main__":
    sys.exit(main())
