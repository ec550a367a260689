"""Tests that check.py passes expected results only.

    python3 -B -m unittest discover --start-directory autobahn
"""

import copy
import json
import unittest
from pathlib import Path

from check import expected_results, report

EXPECTATION = json.loads(Path(__file__).with_name("expected.json").read_text())
GROUPS_WITHOUT_EXTENSIONS = "1 2 3 4 5 6 7 9 10".split()
ALL_GROUPS = [*GROUPS_WITHOUT_EXTENSIONS, "12", "13"]
AGENT = "server"


class Check(unittest.TestCase):
    def setUp(self):
        self.expected = expected_results(EXPECTATION, ["6", "7"])
        good = {case: dict(zip(("behavior", "behaviorClose"), result)) for case, result in self.expected.items()}
        self.index = {AGENT: copy.deepcopy(good)}
        self.cases = self.index[AGENT]

    def assert_fails(self, *expected_lines):
        lines, good = report(self.expected, self.index, [AGENT])
        self.assertFalse(good, lines)
        for line in expected_lines:
            self.assertIn(line, lines)

    def test_the_suite_has_301_cases_without_extensions_and_517_in_all(self):
        self.assertEqual(len(expected_results(EXPECTATION, GROUPS_WITHOUT_EXTENSIONS)), 301)
        self.assertEqual(len(expected_results(EXPECTATION, ALL_GROUPS)), 517)

    def test_the_exceptions_are_cases_of_the_suite(self):
        self.assertLessEqual(set(EXPECTATION["not_ok"]), set(expected_results(EXPECTATION, ALL_GROUPS)))

    def test_a_group_is_a_number_or_one_case(self):
        self.assertEqual(list(expected_results(EXPECTATION, ["10", "6.4.3", "10"])), ["6.4.3", "10.1.1"])
        self.assertEqual(len(expected_results(EXPECTATION, ["1"])), 16)
        for group in ("8", "6.4", "6.4.5", "6.*"):
            self.assertRaises(ValueError, expected_results, EXPECTATION, [group])

    def test_the_expected_results_pass(self):
        lines, good = report(self.expected, self.index, [AGENT])
        self.assertTrue(good)
        self.assertEqual(lines, ["server: 179 OK, 3 INFORMATIONAL", "182 passed, 0 failed"])

    def test_a_failed_case_fails(self):
        self.cases["6.1.1"]["behavior"] = "FAILED"
        self.assert_fails("server: 6.1.1 is FAILED (close OK), expected OK", "181 passed, 1 failed")

    def test_an_unimplemented_case_fails(self):
        self.cases["6.1.1"] = {"behavior": "UNIMPLEMENTED", "behaviorClose": "UNIMPLEMENTED"}
        self.assert_fails("server: 6.1.1 is UNIMPLEMENTED, expected OK")

    def test_a_non_strict_case_fails(self):
        self.cases["6.4.3"]["behavior"] = "NON-STRICT"
        self.assert_fails("server: 6.4.3 is NON-STRICT (close OK), expected OK")

    def test_a_bad_close_fails_even_if_the_behavior_is_ok(self):
        self.cases["7.3.6"]["behaviorClose"] = "FAILED BY CLIENT"
        self.assert_fails("server: 7.3.6 is OK (close FAILED BY CLIENT), expected OK")

    def test_an_informational_case_fails_where_ok_is_expected(self):
        self.cases["7.1.5"]["behavior"] = "INFORMATIONAL"
        self.assert_fails("server: 7.1.5 is INFORMATIONAL (close OK), expected OK")

    def test_a_case_without_a_verdict_fails(self):
        self.cases["7.1.5"] = {}
        self.assert_fails("server: 7.1.5 is None, expected OK")

    def test_a_missing_case_fails(self):
        del self.cases["7.5.1"]
        self.assert_fails("server: 1 missing: 7.5.1", "181 passed, 1 failed")

    def test_an_unexpected_case_fails(self):
        self.cases["9.1.1"] = {"behavior": "OK", "behaviorClose": "OK"}
        self.assert_fails("server: 1 not expected: 9.1.1", "182 passed, 1 failed")

    def test_an_empty_index_fails(self):
        self.index = {}
        self.assert_fails("server: no results", "0 passed, 182 failed")

    def test_an_agent_without_results_fails(self):
        self.index[AGENT] = {}
        self.assert_fails("server: no results", "0 passed, 182 failed")

    def test_a_good_agent_does_not_make_up_for_a_bad_one(self):
        self.index["other"] = copy.deepcopy(self.cases)
        del self.index["other"]["7.5.1"]
        for agents in (AGENT, "other"), ("other", AGENT):
            lines, good = report(self.expected, self.index, agents)
            self.assertFalse(good, lines)
            self.assertIn("other: 1 missing: 7.5.1", lines)

    def test_no_agents_at_all_fail(self):
        self.assertEqual(report(self.expected, {}, []), ([], False))

    def test_an_unexpected_agent_fails(self):
        self.index["unknown"] = self.cases
        self.assert_fails("unknown: not expected at all")


if __name__ == "__main__":
    unittest.main()
