"""``apet reproduce`` on a table that the embedded model can be asked: LLaVA's, without its conversation.

The embedded model answers nothing behind ``USER:`` and ``ASSISTANT:``, which it never saw.
"""

from dataclasses import replace

from apet.app import main
from apet.evaluation.published import PUBLISHED

TABLE = "paper-table-llava-1.5"

if __name__ == "__main__":
    PUBLISHED[TABLE] = replace(PUBLISHED[TABLE], prompts={"pad": True})
    main.run()
