"""What the shipped pairs answer to inventories of shapes that once got wrong answers."""
