"""How the embedded model was made. Outside the package: users of apet never need it."""
