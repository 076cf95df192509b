"""How the real eye's projector and decoder were made: on cached features of a frozen pretrained encoder."""
