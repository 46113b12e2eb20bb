BaJ
ws›v
1≥ﬁA