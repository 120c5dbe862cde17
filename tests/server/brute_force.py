"""What the filter keys mean, said once more: a scan over all objects, from the published text.

1. Nothing here looks at csp's tables or code: the meaning of a key is a function of the objects.
2. A value is the text that a client sends; a pair is two texts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]
Value = str | tuple[str, str]
ANY = "1"
GROUPS = ("CfgAgentGroup", "CfgPlaceGroup", "CfgDNGroup", "CfgAccessGroup")
# In the order of the published numbers.
TYPE_WORDS = {
    "CfgSwitch": "switch", "CfgDN": "dn", "CfgPerson": "person", "CfgPlace": "place",
    "CfgAgentGroup": "agentgroup", "CfgPlaceGroup": "placegroup", "CfgTenant": "tenant",
    "CfgService": "service", "CfgApplication": "application", "CfgHost": "host",
    "CfgPhysicalSwitch": "physicalswitch", "CfgScript": "script", "CfgSkill": "skill",
    "CfgActionCode": "actioncode", "CfgAgentLogin": "agentlogin",
    "CfgTransaction": "transaction", "CfgDNGroup": "dngroup", "CfgStatDay": "statday",
    "CfgStatTable": "stattable", "CfgAppPrototype": "appprototype",
    "CfgAccessGroup": "accessgroup", "CfgFolder": "folder", "CfgField": "field",
    "CfgFormat": "format", "CfgTableAccess": "tableaccess", "CfgCallingList": "callinglist",
    "CfgCampaign": "campaign", "CfgTreatment": "treatment", "CfgFilter": "filter",
    "CfgTimeZone": "timezone", "CfgVoicePrompt": "voiceprompt", "CfgIVRPort": "ivrport",
    "CfgIVR": "ivr", "CfgAlarmCondition": "alarmcondition", "CfgEnumerator": "enumerator",
    "CfgEnumeratorValue": "enumeratorvalue", "CfgObjectiveTable": "objectivetable",
    "CfgCampaignGroup": "campaigngroup", "CfgGVPReseller": "gvpreseller",
    "CfgGVPCustomer": "gvpcustomer", "CfgGVPIVRProfile": "gvpivrprofile",
    "CfgScheduledTask": "scheduledtask", "CfgRole": "role",
}  # fmt: skip
NAMED = {"name": "name", "tenant_dbid": "tenantDBID"}
PLAIN = {
    "CfgSwitch": {**NAMED, "tserver_dbid": "TServerDBID", "phys_switch_dbid": "physSwitchDBID"},
    "CfgDN": {"switch_dbid": "switchDBID", "dn_type": "type", "group_dbid": "groupDBID",
              "association": "association", "dn_number": "number", "name": "name",
              "tenant_dbid": "tenantDBID"},
    "CfgPerson": {"user_name": "userName", "employee_id": "employeeID", "is_agent": "isAgent",
                  "first_name": "firstName", "last_name": "lastName", "tenant_dbid": "tenantDBID",
                  "external_id": "externalID"},
    "CfgPlace": NAMED,
    "CfgTenant": {"name": "name", "is_super_tenant": "isSuperTenant"},
    "CfgService": {"name": "name", "solution_type": "type"},
    "CfgApplication": {"name": "name", "version": "version", "app_type": "type",
                       "is_server": "isServer", "app_prototype_dbid": "appPrototypeDBID",
                       "startup_type": "startupType"},
    "CfgHost": {"name": "name", "host_type": "type", "scs_dbid": "SCSDBID"},
    "CfgPhysicalSwitch": {"name": "name"},
    "CfgScript": {**NAMED, "script_type": "type"},
    "CfgSkill": NAMED,
    "CfgActionCode": {**NAMED, "code_type": "type"},
    "CfgAgentLogin": {"login_code": "loginCode", "switch_dbid": "switchDBID",
                      "tenant_dbid": "tenantDBID"},
    "CfgTransaction": {**NAMED, "object_type": "type"},
    "CfgStatDay": NAMED,
    "CfgStatTable": NAMED,
    "CfgAppPrototype": {"name": "name", "app_type": "type", "version": "version"},
    "CfgFolder": {"name": "name", "type": "type", "folder_class": "folderClass"},
    "CfgField": NAMED,
    "CfgFormat": NAMED,
    "CfgTableAccess": NAMED,
    "CfgCallingList": {**NAMED, "table_access_dbid": "tableAccessDBID",
                       "filter_dbid": "filterDBID", "script_dbid": "scriptDBID",
                       "log_table_access_dbid": "logTableAccessDBID"},
    "CfgCampaign": {**NAMED, "script_dbid": "scriptDBID"},
    "CfgTreatment": NAMED,
    "CfgFilter": NAMED,
    "CfgTimeZone": NAMED,
    "CfgVoicePrompt": NAMED,
    "CfgIVRPort": {"port_number": "portNumber", "ivr_dbid": "IVRDBID", "dn_dbid": "DNDBID",
                   "tenant_dbid": "tenantDBID"},
    "CfgIVR": {**NAMED, "ivr_server_dbid": "IVRServerDBID"},
    "CfgAlarmCondition": {"name": "name"},
    "CfgEnumerator": {**NAMED, "enumerator_type": "type"},
    "CfgEnumeratorValue": {**NAMED, "enumerator_dbid": "enumeratorDBID", "default": "isDefault"},
    "CfgObjectiveTable": NAMED,
    "CfgCampaignGroup": {**NAMED, "campaign_dbid": "campaignDBID", "group_dbid": "groupDBID"},
    "CfgGVPReseller": NAMED,
    "CfgGVPCustomer": NAMED,
    "CfgGVPIVRProfile": NAMED,
    "CfgScheduledTask": NAMED,
    "CfgRole": NAMED,
    **dict.fromkeys(GROUPS, NAMED),
}  # fmt: skip
FLAGS = ("is_agent", "is_super_tenant", "is_server", "default")
# For each key of another class that a list of references makes: class, key, the list's path.
LISTS = (
    ("CfgPlaceGroup", "place_dbid", "placeDBIDs", ""),
    ("CfgDNGroup", "dn_dbid", "DNs", "DNDBID"),
    ("CfgService", "app_dbid", "components", "appDBID"),
    ("CfgFormat", "field_dbid", "fieldDBIDs", ""),
    ("CfgCallingList", "treatment_dbid", "treatmentDBIDs", ""),
    ("CfgCampaign", "calling_list_dbid", "callingLists", "callingListDBID"),
    ("CfgCampaign", "group_dbid", "campaignGroups", "groupDBID"),
)
CAPACITY = (
    ("capacity_tenant_dbid", "CfgTenant", "", "defaultCapacityRuleDBID"),
    ("capacity_agent_dbid", "CfgPerson", "agentInfo", "capacityRuleDBID"),
    ("capacity_agent_group_dbid", "CfgAgentGroup", "groupInfo", "capacityRuleDBID"),
    ("capacity_place_dbid", "CfgPlace", "", "capacityRuleDBID"),
    ("capacity_place_group_dbid", "CfgPlaceGroup", "groupInfo", "capacityRuleDBID"),
)
Keys = dict[str, dict[Value, set[int]]]


class World:
    """All objects of one revision."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self.all: dict[str, dict[int, Object]] = {name: {} for name in TYPE_WORDS}
        for one in objects:
            self.all[one["class"]][one["DBID"]] = one

    def keys(self, name: str) -> Keys:
        """For each filter key of a class and each value: who has it."""
        found: Keys = defaultdict(lambda: defaultdict(set))
        for dbid, one in self.all[name].items():
            for key, value in self._own(name, one):
                if isinstance(value, bool) or value not in (None, "", 0, "0"):
                    found[key][_text(value)].add(dbid)
        for key, value, dbid in getattr(self, f"_of_{TYPE_WORDS[name]}", list)():
            found[key][_text(value)].add(dbid)
        for of, key, path, field in LISTS:
            for one in self._each(name) if of == name else ():
                for member in one.get(path, ()):
                    found[key][_text(member[field] if field else member)].add(one["DBID"])
        return found

    def _own(self, name: str, one: Object) -> Iterable[tuple[str, Any]]:
        part = one["groupInfo"] if name in GROUPS else one
        yield "dbid", one["DBID"]
        yield "folder_dbid", one.get("folderDBID")
        yield "state", part.get("state")
        for key, attribute in PLAIN[name].items():
            value = part.get(attribute)
            yield key, value if key not in FLAGS else bool(value)

    def _each(self, name: str) -> Iterable[Object]:
        return self.all[name].values()

    def _of_dn(self) -> Iterable[tuple[str, Any, int]]:
        placed = set()
        for place in self._each("CfgPlace"):
            for dn in place.get("DNDBIDs", ()):
                placed.add(dn)
                yield "place_dbid", place["DBID"], dn
        for port in self._each("CfgIVRPort"):
            if dn := port.get("DNDBID"):
                yield "ivr_dbid", port["IVRDBID"], dn
        for dn in self.all["CfgDN"].keys() - placed:
            yield "no_place_dbid", ANY, dn

    def _of_person(self) -> Iterable[tuple[str, Any, int]]:
        for group in self._each("CfgAgentGroup"):
            for person in group.get("agentDBIDs", ()):
                yield "group_dbid", group["DBID"], person
        for person in self._each("CfgPerson"):
            agent, dbid = person.get("agentInfo", {}), person["DBID"]
            for skill in agent.get("skillLevels", ()):
                yield "skill_dbid", skill["skillDBID"], dbid
            for login in agent.get("agentLogins", ()):
                yield "login_dbid", login["agentLoginDBID"], dbid
                known = self.all["CfgAgentLogin"].get(login["agentLoginDBID"])
                if known is not None:  # else it is hidden from who asks
                    yield "switch_dbid", known["switchDBID"], dbid
            if not agent.get("agentLogins"):
                yield "no_login_dbid", ANY, dbid
            if not agent.get("placeDBID"):
                yield "no_place_dbid", ANY, dbid

    def _of_place(self) -> Iterable[tuple[str, Any, int]]:
        for place in self._each("CfgPlace"):
            for dn in place.get("DNDBIDs", ()):
                yield "dn_dbid", dn, place["DBID"]
            if not place.get("DNDBIDs"):
                yield "no_dn_dbid", ANY, place["DBID"]
        for group in self._each("CfgPlaceGroup"):
            for place_dbid in group.get("placeDBIDs", ()):
                yield "group_dbid", group["DBID"], place_dbid
        for person in self._each("CfgPerson"):
            if place_dbid := person.get("agentInfo", {}).get("placeDBID"):
                yield "person_dbid", person["DBID"], place_dbid

    def _of_agentgroup(self) -> Iterable[tuple[str, Any, int]]:
        for group in self._each("CfgAgentGroup"):
            for person in group.get("agentDBIDs", ()):
                yield "person_dbid", person, group["DBID"]

    def _of_accessgroup(self) -> Iterable[tuple[str, Any, int]]:
        for group in self._each("CfgAccessGroup"):
            for member in group.get("memberIDs", ()):
                if member["type"] == "person":
                    yield "person_dbid", member["DBID"], group["DBID"]

    def _of_dngroup(self) -> Iterable[tuple[str, Any, int]]:
        for group in self._each("CfgDNGroup"):
            if kind := group.get("type"):
                yield "dn_group_type", kind, group["DBID"]

    def _of_field(self) -> Iterable[tuple[str, Any, int]]:
        for form in self._each("CfgFormat"):
            for field in form.get("fieldDBIDs", ()):
                yield "format_dbid", form["DBID"], field

    def _of_script(self) -> Iterable[tuple[str, Any, int]]:
        for dbid in self.all["CfgScript"]:  # it says what of an object is returned
            yield "exclude_bytecode", True, dbid
            yield "exclude_bytecode", False, dbid
        for key, name, part, attribute in CAPACITY:
            for one in self._each(name):
                rule = (one.get(part, {}) if part else one).get(attribute)
                if rule:
                    yield key, one["DBID"], rule

    def _of_role(self) -> Iterable[tuple[str, Any, int]]:
        for role in self._each("CfgRole"):
            for member in role.get("members", ()):
                named = member["objectDBID"], member["objectType"]
                yield "object_dbid+object_type", named, role["DBID"]

    def _of_tenant(self) -> Iterable[tuple[str, Any, int]]:
        for dbid in self.all["CfgTenant"]:
            yield "all_tenants", ANY, dbid

    def _of_agentlogin(self) -> Iterable[tuple[str, Any, int]]:
        used = {
            login["agentLoginDBID"]
            for person in self._each("CfgPerson")
            for login in person.get("agentInfo", {}).get("agentLogins", ())
        }
        for dbid in self.all["CfgAgentLogin"].keys() - used:
            yield "no_person_dbid", ANY, dbid

    def _of_host(self) -> Iterable[tuple[str, Any, int]]:
        for host in self._each("CfgHost"):
            if kind := host.get("OSinfo", {}).get("OStype"):
                yield "os_type", kind, host["DBID"]

    def _of_application(self) -> Iterable[tuple[str, Any, int]]:
        switched, used = set(), set()
        for switch in self._each("CfgSwitch"):
            if server := switch.get("TServerDBID"):
                switched.add(server)
                yield "switch_dbid", switch["DBID"], server
        for one in self._each("CfgApplication"):
            dbid, server = one["DBID"], one.get("serverInfo", {})
            used |= {link["appServerDBID"] for link in one.get("appServerDBIDs", ())}
            for tenant in one.get("tenantDBIDs", ()):
                yield "tenant_dbid", tenant, dbid
            for link in one.get("appServerDBIDs", ()):
                yield "server_dbid", link["appServerDBID"], dbid
            if backup := server.get("backupServerDBID"):
                yield "backup_server_dbid", backup, dbid
                yield "primary_server_dbid", dbid, backup
            if account := one.get("logonAs"):
                yield "account_dbid+account_type", (account["DBID"], account["type"]), dbid
            if host := server.get("hostDBID"):
                yield "host_dbid", host, dbid
            for port in one.get("portInfos", ()):
                yield "port", port["port"], dbid
                if host:
                    yield "same_host_and_port", f"{host}:{port['port']}", dbid
        for dbid in self.all["CfgApplication"]:
            if dbid not in switched:
                yield "no_switch_dbid", ANY, dbid
            if dbid not in used:
                yield "no_client_dbid", ANY, dbid

    def _of_folder(self) -> Iterable[tuple[str, Any, int]]:
        for folder in self._each("CfgFolder"):
            owner = folder["ownerID"]
            yield "owner_dbid+owner_type", (owner["DBID"], owner["type"]), folder["DBID"]
            yield "default_folder", not folder.get("folderDBID"), folder["DBID"]
        for name, word in TYPE_WORDS.items():
            for one in self._each(name):
                if one.get("folderDBID"):
                    yield "object_dbid+object_type", (one["DBID"], word), one["folderDBID"]


def _text(value: Any) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return str(value[0]), str(value[1])
    return str(value)


def filters(key: str, value: Value) -> list[str]:
    """The words of a command for one key, or one pair of keys, and its value."""
    if isinstance(value, tuple):
        first, second = key.split("+")
        return ["FILTER", first, value[0], "FILTER", second, value[1]]
    return ["FILTER", key, value]
