BgJ jh^¾“Š?
x?%Aç?yó¿?X’>Qwê¾Ÿyj¿