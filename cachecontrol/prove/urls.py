from django.urls import path

from cachecontrol.prove.workload import pages

urlpatterns = [
    path("shelf/<int:pk>/", pages.shelf),
    path("item/<int:pk>/", pages.item),
    path("columns/<int:pk>/", pages.columns),
    path("odd/<int:pk>/", pages.unseen_read),
    path("leave/", pages.leave_language),
]
handler500 = pages.server_error
