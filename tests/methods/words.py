"""The least of a tokenizer, and two prompts that differ in one word."""

WORDS = ["<pad>", "When", "Mary", "and", "John", "went", "to", "the", "shop", "gave", "a", "drink", "Anna", "left"]
LONG, SWAPPED = "When Mary and John went to the shop John gave", "When Mary and John went to the shop Mary gave"


class Words:
    """A word is a token."""

    pad_token_id = 0

    def __call__(self, prompt: str) -> dict[str, list[int]]:
        return {"input_ids": [WORDS.index(word) for word in prompt.split()]}

    def decode(self, numbers: list[int]) -> str:
        return " ".join(WORDS[number] for number in numbers)
