"""The card that hangs in the kitchen."""

from recipe import Recipe


def card(text, people):
    """A recipe's text, scaled for so many people, one ingredient a line."""
    recipe = Recipe.parse(text)
    lines = [f"{recipe.title} (for {people})"]
    for ingredient in recipe.scaled(people):
        lines.append(f"- {ingredient}")
    return "\n".join(lines)
