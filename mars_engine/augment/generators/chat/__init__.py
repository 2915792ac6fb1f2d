"""The chat generator: a chat model that paraphrases, refines and judges, and is asked everything once."""

from mars_engine.augment.generators.chat.correspondence import Correspondence
from mars_engine.augment.generators.chat.judge import ChatJudge
from mars_engine.augment.generators.chat.prompts import OWN_FOLDER, load_prompt
from mars_engine.augment.generators.chat.small_writers import SmallChatGenerator, SmallChatParaphraser, SmallChatRefiner
from mars_engine.augment.generators.chat.writers import ChatParaphraser, ChatRefiner

__all__ = [
    "ASKING",
    "OWN_FOLDER",
    "ChatJudge",
    "ChatParaphraser",
    "ChatRefiner",
    "Correspondence",
    "SmallChatParaphraser",
    "SmallChatRefiner",
    "load_prompt",
]

ASKING = (ChatParaphraser, ChatRefiner, ChatJudge, SmallChatGenerator)
"""Whatever asks a chat model, through its `correspondence`."""
