"""The page of ``apet show``: what a visitor does, the models that visitors share, and the page itself."""
