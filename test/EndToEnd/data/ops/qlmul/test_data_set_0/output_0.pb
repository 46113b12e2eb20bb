ByJ
Ðsž%OKs:ÿ