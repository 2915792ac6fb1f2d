"""A worker without a model: the real loop, pipes and messages, over a service that does what a text tells it to."""

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from fakes import BagOfWordsEncoder

from mars_engine.core.errors import NotReadyError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Passage
from mars_engine.curate.gain_order import Chance, GainOrder
from mars_engine.curate.live import LiveFigures, MovedMargin
from mars_engine.reward_models.curvature import Curvature
from mars_engine.service.worker_process import serve, take_pipes


class ObedientService:
    """Embeds by bag of words; what `_obey` knows is obeyed first, such as "sleep SECONDS", "die" and "print"."""

    def __init__(self) -> None:
        self.lives = 0

    def embed(self, texts):
        for text in texts:
            self._obey(text.split())
        return BagOfWordsEncoder().encode([Passage(text) for text in texts], progress=SilentProgress()).vectors

    def live(self, kind):
        self.lives += 1
        if kind == "proposal":
            raise NotReadyError("nothing is trained", remedy="train")
        moved = {"ada": MovedMargin("item", -0.5, float("nan"))}
        curvature = Curvature(1.0, 2.0, 3.0, 4.0)
        return LiveFigures(
            kind,
            f"{self.lives}",
            1,
            float("nan"),
            0,
            0.5,
            2,
            float("nan"),
            0,
            curvature,
            moved,
            None,
            3,
            0,
            "a sample",
            0.1,
        )

    def gain_order(self):
        ids = np.array([f"{number:024}" for number in (7, 3)], dtype="S24")
        chances = (Chance("paraphrase", True, 3, 4, 0.75), Chance("refined", False, 0, 0, 0.5))
        return GainOrder("9-1", ids, np.array([0.5, 0.25], dtype=np.float32), 1, 12, chances, 0.25)

    def _obey(self, words):
        match words:
            case ["sleep", seconds]:
                time.sleep(float(seconds))
            case ["mark", mark]:
                Path(mark).touch()
            case ["wait", mark]:
                while not Path(mark).exists():
                    time.sleep(0.01)
            case ["die"]:
                os.kill(os.getpid(), signal.SIGKILL)
            case ["die", "once", mark] if not Path(mark).exists():
                Path(mark).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            case ["fail"]:
                raise ValueError("no such thing")
            case ["print"]:
                print("a library's remark", flush=True)
                os.write(1, b"and one from C\n")


if __name__ == "__main__":
    serve(ObedientService, *take_pipes(), end=os._exit)
