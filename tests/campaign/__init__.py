"""The kill campaign: processes die at failpoints and at random while clients read and change."""
