"""Recipes: a title, for how many it is, and ingredients."""

from units import Quantity


class Ingredient:
    def __init__(self, quantity, name):
        self.quantity = quantity
        self.name = name

    def __str__(self):
        return f"{self.quantity} {self.name}"


class Recipe:
    def __init__(self, title, people, ingredients):
        self.title = title
        self.people = people
        self.ingredients = ingredients

    @classmethod
    def parse(cls, text):
        """`Pancakes for 4` on the first line, then one ingredient a line: `1 1/2 cup flour`."""
        first, *rest = [line.strip() for line in text.strip().splitlines()]
        title, people = first.rsplit(" for ", 1)
        ingredients = []
        for line in rest:
            quantity, name = Quantity.parse(line)
            ingredients.append(Ingredient(quantity, name))
        return cls(title, int(people), ingredients)

    def scaled(self, people):
        return [
            Ingredient(ingredient.quantity.times(people, self.people), ingredient.name)
            for ingredient in self.ingredients
        ]
