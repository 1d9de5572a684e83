from medrival.reports.charts.words import name


def test_a_name_is_cut_only_where_it_is_longer_and_never_grows_by_it():
    assert name("a healthy optic disc", 20) == "a healthy optic disc"
    assert name("pocket-medllava", 14) == "pocket-medlla…"
    assert name("a healthy disc", 10) == "a healthy…"
