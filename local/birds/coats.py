"""The colours of the eight species, males and females where they differ; RGB as in even daylight."""

from __future__ import annotations

from local.birds.anatomy import BLACK, Coat

BOBOLINK_MALE = Coat(
    back=(34, 31, 32),
    breast=BLACK,
    belly=(30, 28, 30),
    head=BLACK,
    coverts=(36, 33, 34),
    flight=(48, 42, 40),
    tail=(38, 34, 34),
    bill=(52, 48, 50),
    flight_edge=(120, 108, 84),
)
BOBOLINK_FEMALE = Coat(
    back=(146, 116, 74),
    breast=(216, 186, 126),
    belly=(224, 206, 164),
    head=(206, 174, 112),
    coverts=(124, 96, 62),
    flight=(84, 68, 52),
    tail=(98, 80, 60),
    bill=(196, 160, 136),
)
CARDINAL_MALE = Coat(
    back=(168, 40, 40),
    breast=(206, 38, 34),
    belly=(204, 50, 42),
    head=(214, 40, 34),
    coverts=(158, 38, 40),
    flight=(132, 38, 40),
    tail=(156, 34, 36),
    bill=(226, 98, 58),
    flight_edge=(190, 52, 48),
)
CARDINAL_FEMALE = Coat(
    back=(150, 124, 100),
    breast=(202, 164, 120),
    belly=(212, 184, 146),
    head=(182, 148, 112),
    coverts=(146, 92, 78),
    flight=(134, 74, 66),
    tail=(146, 72, 62),
    bill=(226, 98, 58),
    flight_edge=(186, 84, 66),
)
PURPLE_FINCH_MALE = Coat(
    back=(150, 76, 82),
    breast=(194, 84, 100),
    belly=(232, 214, 208),
    head=(190, 58, 82),
    coverts=(138, 82, 82),
    flight=(98, 74, 70),
    tail=(104, 76, 72),
    bill=(158, 134, 118),
    flight_edge=(176, 122, 116),
)
PURPLE_FINCH_FEMALE = Coat(
    back=(128, 106, 84),
    breast=(226, 216, 198),
    belly=(236, 230, 216),
    head=(132, 108, 84),
    coverts=(116, 96, 76),
    flight=(88, 74, 62),
    tail=(96, 80, 66),
    bill=(158, 140, 122),
    flight_edge=(164, 144, 118),
)
FLICKER = Coat(
    back=(158, 130, 100),
    breast=(220, 198, 166),
    belly=(232, 216, 188),
    head=(188, 152, 116),
    coverts=(156, 128, 98),
    flight=(92, 76, 62),
    tail=(46, 42, 42),
    bill=(66, 62, 62),
    flight_edge=(222, 176, 60),
)
GOLDFINCH_MALE = Coat(
    back=(240, 208, 44),
    breast=(248, 216, 40),
    belly=(250, 226, 92),
    head=(248, 214, 36),
    coverts=(26, 25, 26),
    flight=(28, 27, 28),
    tail=(30, 28, 28),
    bill=(232, 150, 92),
    flight_edge=(220, 216, 206),
)
GOLDFINCH_FEMALE = Coat(
    back=(150, 140, 84),
    breast=(206, 194, 96),
    belly=(220, 212, 168),
    head=(166, 154, 84),
    coverts=(58, 52, 46),
    flight=(50, 46, 42),
    tail=(54, 50, 46),
    bill=(206, 150, 112),
    flight_edge=(214, 206, 188),
)
HUMMINGBIRD = Coat(
    back=(52, 132, 74),
    breast=(226, 226, 216),
    belly=(212, 212, 200),
    head=(58, 136, 78),
    coverts=(62, 120, 82),
    flight=(66, 60, 66),
    tail=(58, 62, 64),
    bill=(34, 32, 34),
)
BLUE_JAY = Coat(
    back=(84, 118, 190),
    breast=(198, 198, 200),
    belly=(224, 222, 220),
    head=(86, 116, 184),
    coverts=(72, 112, 196),
    flight=(62, 102, 188),
    tail=(66, 106, 192),
    bill=(36, 36, 40),
    flight_edge=(128, 160, 220),
)
MALLARD_MALE = Coat(
    back=(132, 118, 106),
    breast=(104, 62, 46),
    belly=(190, 188, 184),
    head=(22, 96, 62),
    coverts=(150, 140, 130),
    flight=(110, 96, 86),
    tail=BLACK,
    bill=(214, 192, 62),
)
MALLARD_FEMALE = Coat(
    back=(126, 98, 70),
    breast=(164, 130, 92),
    belly=(172, 140, 102),
    head=(176, 148, 112),
    coverts=(122, 94, 68),
    flight=(96, 76, 58),
    tail=(186, 164, 132),
    bill=(206, 128, 58),
)
