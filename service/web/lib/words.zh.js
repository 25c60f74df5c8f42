// Chinese; what is missing here is said in English.
export const zh = {
  "cancel": "取消", "compare": "比较", "column.age": "时间", "column.best": "最佳", "column.last": "最新", "column.name": "名称", "column.owner": "成员",
  "column.progress": "进度", "column.run": "运行", "column.runs": "运行", "column.seed": "种子", "column.state": "状态", "column.worker": "工作节点",
  "filter.apply": "筛选", "filter": "筛选实验", "language": "语言", "live": "实时", "loading": "加载中", "more": "更多", "pause": "暂停",
  "place.compare": "比较", "place.experiments": "实验", "place.new": "新建", "place.workers": "工作节点", "resume": "继续", "retry": "重试", "fork": "分支",
  "sign.in": "登录", "sign.key": "API 密钥", "sign.out": "退出", "state.cancelled": "已取消", "state.failed": "失败", "state.paused": "已暂停",
  "state.queued": "排队中", "state.running": "运行中", "state.succeeded": "成功",
};
